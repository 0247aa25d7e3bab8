"""A diagnosis as text for a log or a terminal: the count first, then a block for each fault."""

from __future__ import annotations

import textwrap

from ..words.block import advice, painter, place, wrap
from .finding import KINDS, Diagnosis, Finding

_LOOKED = {
    "static": "Looked at: the model, the loss, the labels and the data as they are.",
    "batch": "Looked at: the model, the loss, the labels and the data as they are, and a batch.",
    "steps": "Looked at: the model, the loss, the labels and the data as they are, a batch, and steps on a copy.",
}


def as_text(diagnosis: Diagnosis, color: bool = False, width: int = 110) -> str:
    """The count, then for each fault a block with its place, its numbers and what to write; ANSI colours if `color`."""
    paint = painter(color)
    blocks = [paint(wrap(headline(diagnosis), width), "good" if diagnosis.ok else "bad")]
    blocks += [_block(finding, number, paint, width) for number, finding in enumerate(diagnosis.findings, 1)]
    blocks += [wrap(note, width) for note in diagnosis.notes]
    blocks.append(paint(wrap(f"{_LOOKED[diagnosis.depth]} It took {diagnosis.seconds:.1f} s.", width), "faint"))
    return "\n\n".join(blocks)


def headline(diagnosis: Diagnosis) -> str:
    """The count, in one sentence."""
    count = len(diagnosis.findings)
    if not count:
        return "Nothing was found that keeps this model from learning."
    return f"{count} {'thing keeps' if count == 1 else 'things keep'} this model from learning."


def _block(finding: Finding, number: int, paint, width: int) -> str:
    title = f"{number}. {KINDS[finding.kind]} — {', '.join(finding.places)}"
    lines = [paint(wrap(title, width, hanging=3), "strong"), "", wrap(finding.evidence, width, indent=3)]
    lines += place(finding, None, paint)
    lines += advice(finding.remedy, paint, width)
    if finding.replacement:
        new = finding.replacement
        span = (
            f"line {new.first_line}" if new.first_line == new.last_line else f"lines {new.first_line}-{new.last_line}"
        )
        lines += ["", wrap(f"Tried on a copy, and it helps; {span}:", width, indent=3)]
        lines += [paint(f"     {line}", "code") for line in textwrap.dedent(new.code).splitlines()]
    return "\n".join(lines)
