"""The building blocks of the guard's and the doctor's reports: colours, wrapped words, code, a window of lines."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Sequence

from .base import BaseFinding
from .source import line_at, lines_around

STYLES = {"bad": "1;31", "mark": "31", "strong": "1", "faint": "2", "good": "32", "code": "36"}
Paint = Callable[[str, str], str]


def painter(color: bool) -> Paint:
    """`paint(text, style)`: in ANSI colours, or unchanged."""
    return lambda text, style: f"\033[{STYLES[style]}m{text}\033[0m" if color and text else text


def place(finding: BaseFinding, columns: tuple[int, int] | None, paint: Paint) -> list[str]:
    """The lines of a block that show the finding's file and line and the code around it, if it has a place."""
    if not (finding.file and finding.line):
        return []
    shown = window(finding, columns)
    lines = ["", f"   {paint(f'{finding.file}:{finding.line}', 'strong')}", ""]
    return lines + [f"   {paint(text, style)}" if style else f"   {text}" for text, style in shown]


def window(finding: BaseFinding, columns: tuple[int, int] | None = None) -> list[tuple[str, str | None]]:
    """The numbered lines around the user's line, each with its style, and the mark under the columns given."""
    around = lines_around(finding.file, finding.line)
    if not around:
        return [(f"> {finding.line} | {finding.code}", "mark")] if finding.code else []
    digits = len(str(around[-1][0]))
    raw = line_at(finding.file, finding.line)
    lines: list[tuple[str, str | None]] = []
    for number, text in around:
        here = number == finding.line
        lines.append((f"{'>' if here else ' '} {number:{digits}} | {text}".rstrip(), "strong" if here else "faint"))
        if here and columns:
            taken_off = len(raw.expandtabs(4)) - len(text)
            first = len(raw[: columns[0]].expandtabs(4)) - taken_off
            last = len(raw[: columns[1]].expandtabs(4)) - taken_off
            lines.append((f"  {' ' * digits} | {' ' * first}{'^' * max(1, last - first)}", "mark"))
    return lines


def advice(text: str, paint: Paint, width: int) -> list[str]:
    """The lines of a block that say what to write: wrapped paragraphs of words, and code."""
    lines = []
    for part, is_code in paragraphs(text):
        lines += (
            ["", *(paint(f"     {line}", "code") if line else "" for line in part.splitlines())]
            if is_code
            else ["", wrap(part, width, indent=3)]
        )
    return lines


def paragraphs(text: str) -> list[tuple[str, bool]]:
    """Advice in paragraphs of words and of code, which is indented by four spaces."""
    parts = []
    for part in re.split(r"\n\s*\n", text.strip("\n")):
        if part.strip():
            is_code = part.startswith("    ")
            if is_code and parts and parts[-1][1]:  # a blank line inside of code
                parts[-1] = (f"{parts[-1][0]}\n\n{textwrap.dedent(part)}", True)
                continue
            parts.append((textwrap.dedent(part), is_code) if is_code else (" ".join(part.split()), False))
    return parts


def fenced(lines: Sequence[str]) -> str:
    """Code in markdown."""
    return "\n".join(["```python", *lines, "```"])


def wrap(text: str, width: int, indent: int = 0, hanging: int = 0) -> str:
    """Words in lines of a width, never broken inside of one."""
    return textwrap.fill(
        text,
        width,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + hanging),
        break_long_words=False,
        break_on_hyphens=False,
    )
