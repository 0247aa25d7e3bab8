"""A gradient that the forward pass itself asks for (a gradient penalty, an explanation map), and gets None."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import tensorflow as tf

from ..capture.answer import Entry
from ..capture.owners import handles_of
from ..capture.recorder import Recording
from ..capture.trace import InnerGradient, key
from ..search.lineage import Lineage
from ..words.finding import Finding
from .cut import cut_findings, place_fields


def inner_gradient_findings(recording: Recording, entries: Sequence[Entry], error: Exception) -> list[Finding]:
    """Findings for a forward pass that failed on the None of an inner `tape.gradient`.

    Args:
      recording: the run, as far as it came.
      entries: the variables; an error leaves none of them with a gradient.
      error: what the forward pass raised.
    """
    if "NoneType" not in str(error) and "None" not in str(error):
        return []
    paths = [entry.path for entry in entries]
    return [finding for inner in recording.trace.unanswered for finding in _why(recording, inner, paths)]


def _why(recording: Recording, inner: InnerGradient, paths: Sequence[str]) -> list[Finding]:
    is_variable = hasattr(inner.source, "assign")
    keys = handles_of(inner.source) if is_variable else (key(inner.source),)
    trace = copy.copy(recording.trace)
    trace.loss = inner.target
    lineage = Lineage(trace)
    if lineage.distance_of(keys):
        source = Entry(", ".join(paths), inner.source, keys)
        found = cut_findings(lineage, [source])
        return [
            Finding(
                f.kind,
                f.cause,
                paths,
                f.op_type,
                f.op_name,
                chain=f.chain,
                file=f.file,
                line=f.line,
                columns=f.columns,
                detail=_detail("a cut on the way", inner),
            )
            for f in found
        ]
    reached = lineage.distance_of(keys) == 0
    cause = "outside_tape" if reached else "not_used"
    words = (
        "the tape does not watch its source: `tape.watch(x)` comes first"
        if reached and not is_variable
        else ("its target does not depend on its source")
    )
    return [Finding("missing", cause, paths, detail=_detail(words, inner), **place_fields(inner.site))]


def _detail(words: str, inner: InnerGradient) -> str:
    kind = "variable" if hasattr(inner.source, "assign") else "tensor"
    shape = tuple(inner.source.shape) if isinstance(inner.source, (tf.Tensor, tf.Variable)) else ""
    return f"A `tape.gradient` inside the forward pass answered None for a {kind} of shape {shape}: {words}."
