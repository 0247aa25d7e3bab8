"""What the README quotes is what the program says."""

from benchmarks import readme_messages


def test_the_messages_are_those_of_the_program():
    text = readme_messages.README.read_text(encoding="utf-8")
    quoted = text[text.index(readme_messages.BEGIN) : text.index(readme_messages.END) + len(readme_messages.END)]
    assert quoted == readme_messages.section()
