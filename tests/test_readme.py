"""What README.md and the pages quote is what the program says; the README stays short, and its links lead somewhere."""

import re

from benchmarks import readme_messages


def test_the_messages_are_those_of_the_program():
    quoted = {}
    for page in readme_messages.PAGES:
        text = page.read_text(encoding="utf-8")
        found = {name: readme_messages.marked(name).search(text) for name in readme_messages.MISTAKES}
        quoted |= {name: match[2] for name, match in found.items() if match}
    assert quoted == readme_messages.messages()


def test_the_readme_is_short_and_has_the_command_of_ci():
    text = (readme_messages.ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    commands = (readme_messages.ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "\nmake test\n" in commands and "\nmake test " in text


def test_links_between_pages_lead_to_files():
    pages = [readme_messages.ROOT / "README.md", *(readme_messages.ROOT / "docs").glob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} -> {target}"
