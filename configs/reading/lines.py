"""Text broken into lines between words, at the width of the terminal that it is read on."""

from __future__ import annotations

import re
import shutil
import textwrap

_NARROWEST, _WIDEST = 40, 110
_ITEM = re.compile(r" *(?:\d+\.|-) +")


def columns() -> int:
    """The terminal's width, from 40 to 110; 80 where there is no terminal. COLUMNS in the environment overrules it."""
    return min(max(shutil.get_terminal_size((80, 24)).columns, _NARROWEST), _WIDEST)


def wrapped(text: str, width: int | None = None) -> str:
    """Breaks lines of prose that are longer than `width` (default: `columns()`), each under its own beginning.

    Lines that are indented by four columns or more (of a numbered list: more than its text is) are code, which is
    copied: they stay as they are. No word is broken, whatever its length.
    """
    width = columns() if width is None else width
    lines, base = [], 0
    for line in text.split("\n"):
        item = _ITEM.match(line)
        indent = len(line) - len(line.lstrip(" "))
        if item:
            base = indent = item.end()
        elif indent < base:
            base = 0
        if len(line) <= width or indent - base >= 4:
            lines.append(line)
            continue
        lead = line[:indent]
        lines += broken(line[indent:], width, first=lead, then=" " * indent)
    return "\n".join(lines)


def broken(text: str, width: int, *, first: str = "", then: str = "") -> list[str]:
    """A paragraph as lines of at most `width` columns where its words allow it, after `first` and then `then`."""
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=then, break_long_words=False, break_on_hyphens=False
    )
