"""What the README quotes is what the program says."""

from benchmarks import readme_messages


def test_the_messages_are_those_of_the_program():
    text = readme_messages.README.read_text(encoding="utf-8")
    quoted = {name: readme_messages.marked(name).search(text)[2] for name in readme_messages.MISTAKES}
    assert quoted == readme_messages.messages()
