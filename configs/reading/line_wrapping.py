"""Text broken into lines between words, at the terminal's width."""

from __future__ import annotations

import re
import shutil
import textwrap

_NARROWEST, _WIDEST = 40, 110
_GAP = re.compile(r"(?<=\S)( {2,})(?=\S)")
_ITEM = re.compile(r" *(?:\d+\.|-) +")


def columns() -> int:
    """The terminal's width, from 40 to 110; 80 without a terminal. COLUMNS in the environment takes precedence."""
    return min(max(shutil.get_terminal_size((80, 24)).columns, _NARROWEST), _WIDEST)


def wrapped(text: str, width: int | None = None) -> str:
    """Breaks lines of prose that are longer than `width` (default: `columns()`), keeping their indentation.

    Lines that are indented by four columns or more (of a numbered list: more than its text is) are code, which is
    copied: they stay as they are. A line in columns, with two spaces or more between them, is broken between columns.
    No word is broken, whatever its length.
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
        if len(_GAP.findall(line[indent:])) > 1:
            lines += _filled(_GAP.split(line[indent:]), width, lead)
            continue
        lines += broken(line[indent:], width, first=lead, then=" " * indent)
    return "\n".join(lines)


def _filled(parts: list[str], width: int, lead: str) -> list[str]:
    """Columns in lines of `width` where possible, with continuation lines indented further."""
    found = [lead + parts[0]]
    for gap, part in zip(parts[1::2], parts[2::2], strict=True):
        if len(found[-1]) + len(gap) + len(part) <= width:
            found[-1] += gap + part
        else:
            found += broken(part, width, first=f"{lead}    ", then=f"{lead}    ")
    return found


def command(words: list[str], width: int, *, first: str = "", then: str = "") -> list[str]:
    """A shell's command as lines of at most `width` where its words allow it, which can be pasted as they are."""
    found = [first + words[0]]
    for word in words[1:]:
        if len(found[-1]) + len(word) + 3 <= width:
            found[-1] += f" {word}"
        else:
            found[-1] += " \\"
            found.append(then + word)
    return found


def broken(text: str, width: int, *, first: str = "", then: str = "") -> list[str]:
    """A paragraph as lines of at most `width` columns where its words allow it, after `first` and then `then`."""
    return textwrap.wrap(
        text, width, initial_indent=first, subsequent_indent=then, break_long_words=False, break_on_hyphens=False
    )
