"""A diagnosis as text for a log or a terminal: the count first, then a block a fault."""

from __future__ import annotations

import linecache
import re
import textwrap

from .finding import KINDS, Diagnosis, Finding

_STYLES = {"bad": "1;31", "mark": "31", "strong": "1", "faint": "2", "good": "32", "code": "36"}
_LOOKED = {
    "static": "Looked at: the model, the loss, the labels and the data as they are.",
    "batch": "Looked at: the model, the loss, the labels and the data as they are, and a batch.",
    "steps": "Looked at: the model, the loss, the labels and the data as they are, a batch, and steps on a copy.",
}


def as_text(diagnosis: Diagnosis, color: bool = False, width: int = 110) -> str:
    """The count, then a block a fault with its place, its numbers and what to write; ANSI colours if `color`."""

    def paint(text: str, style: str) -> str:
        return f"\033[{_STYLES[style]}m{text}\033[0m" if color and text else text

    blocks = [paint(_wrap(headline(diagnosis), width), "good" if diagnosis.ok else "bad")]
    blocks += [_block(finding, number, paint, width) for number, finding in enumerate(diagnosis.findings, 1)]
    blocks += [_wrap(note, width) for note in diagnosis.notes]
    blocks.append(paint(_wrap(f"{_LOOKED[diagnosis.depth]} It took {diagnosis.seconds:.1f} s.", width), "faint"))
    return "\n\n".join(blocks)


def headline(diagnosis: Diagnosis) -> str:
    """The count, in one sentence."""
    count = len(diagnosis.findings)
    if not count:
        return "Nothing was found that keeps this model from learning."
    return f"{count} {'thing keeps' if count == 1 else 'things keep'} this model from learning."


def _block(finding: Finding, number: int, paint, width: int) -> str:
    title = f"{number}. {KINDS[finding.kind]} — {', '.join(finding.places)}"
    lines = [paint(_wrap(title, width, hanging=3), "strong"), "", _wrap(finding.evidence, width, indent=3)]
    if finding.file and finding.line:
        lines += ["", f"   {paint(f'{finding.file}:{finding.line}', 'strong')}", ""]
        lines += [f"   {paint(text, style)}" for text, style in _window(finding.file, finding.line)]
    for part in re.split(r"\n\s*\n", finding.remedy.strip("\n")):
        if part.startswith("    "):
            lines += ["", *(paint(f"     {line}", "code") for line in textwrap.dedent(part).splitlines())]
        else:
            lines += ["", _wrap(" ".join(part.split()), width, indent=3)]
    if finding.replacement:
        new = finding.replacement
        span = (
            f"line {new.first_line}" if new.first_line == new.last_line else f"lines {new.first_line}-{new.last_line}"
        )
        lines += ["", _wrap(f"Tried on a copy, and it helps; {span}:", width, indent=3)]
        lines += [paint(f"     {line}", "code") for line in textwrap.dedent(new.code).splitlines()]
    return "\n".join(lines)


def _window(file: str, line: int) -> list[tuple[str, str]]:
    """The numbered lines around the user's line, common indentation taken off."""
    numbers = [n for n in range(max(1, line - 1), line + 2) if linecache.getline(file, n).strip()]
    texts = textwrap.dedent("".join(linecache.getline(file, n).expandtabs(4) for n in numbers)).splitlines()
    digits = len(str(numbers[-1])) if numbers else 1
    return [
        (f"{'>' if n == line else ' '} {n:{digits}} | {text}".rstrip(), "strong" if n == line else "faint")
        for n, text in zip(numbers, texts, strict=True)
    ]


def _wrap(text: str, width: int, indent: int = 0, hanging: int = 0) -> str:
    return textwrap.fill(
        text,
        width,
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + hanging),
        break_long_words=False,
        break_on_hyphens=False,
    )
