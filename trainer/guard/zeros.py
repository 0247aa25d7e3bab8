"""Gradients that exist and are exactly zero: at which op do they become so?

Walking backward from the loss, an op is at fault where the gradient of its output is not zero and that of its input is. Behind it
everything is zero, so the search goes on from there with a gradient put in by hand, until the variable gets one: two
saturated ops in a row are two findings, and mending one of them would not have helped.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from trainer.guard.asked import Asked, is_zero
from trainer.guard.causes import chain_from, cut_findings, place_fields
from trainer.guard.lineage import Edge, Lineage
from trainer.guard.recorder import Recording
from trainer.guard.report import Finding
from trainer.guard.slopes import frontier, merged, nonzero_keys, slopes, tensors_of, varied

_MOST_ROUNDS = 6
_MOST_EDGES = 64


def zero_findings(recording: Recording, lineage: Lineage, zeros: Sequence[Asked],
                  learning: Sequence[Asked]) -> list[Finding]:  # fmt: skip
    """Findings for variables whose gradient is all zero.

    Args:
      recording: the recorded run, with its tape.
      lineage: its search.
      zeros: the variables in question.
      learning: those with a gradient that is not zero.

    A variable of a branch that was not taken is left alone, and so is one whose gradient is zero only because another variable,
    which is learning, starts at zero: the next step mends that.
    """
    cut = [one for one in zeros if (lineage.distance_of(one.keys) or 0) > 0]
    findings = cut_findings(lineage, cut, kind="zero")
    flat = [one for one in zeros if lineage.distance_of(one.keys) == 0]
    if flat:
        findings += _peeled(recording, lineage, flat, learning)
    return findings


def _peeled(recording, lineage: Lineage, zeros: Sequence[Asked], learning: Sequence[Asked]) -> list[Finding]:
    tensors = tensors_of(lineage)
    targets, seeds = [part for part in tf.nest.flatten(recording.loss) if tf.is_tensor(part)], None
    left, found = list(zeros), []
    for _ in range(_MOST_ROUNDS):
        gradients = slopes(recording, tensors, targets, seeds)
        alive = nonzero_keys(gradients)
        left = [one for one in left if not _reached(recording, one, alive)]
        cones = set().union(*(lineage.descends_from(one.keys) for one in left[:1])) if len(left) == 1 else None
        flat = {known for known in tensors if known not in alive}
        edges = [edge for edge in frontier(lineage, alive, flat) if cones is None or edge.source in cones]
        edges = edges[:_MOST_EDGES]
        mine = [(edge, _upstream(lineage, edge, left)) for edge in edges]
        mine = [(edge, paths) for edge, paths in mine if paths]
        if not mine:
            break
        found = mine + found
        targets = list({edge.source: tensors[edge.source] for edge, _ in mine}.values())
        seeds = [varied(target) for target in targets]
    passing = {one.path for one in zeros} - _blocked(lineage, found, learning)
    return _findings(recording, lineage, found, zeros, passing)


def _reached(recording: Recording, one: Asked, alive: set[int]) -> bool:
    if one.is_tensor:
        return bool(set(one.keys) & alive)
    reads = [op for k in one.keys for op in recording.trace.readers.get(k, ())]
    return any(result in alive for op in reads for result in op.results)


def _upstream(lineage: Lineage, edge: Edge, left: Sequence[Asked]) -> list[str]:
    behind = lineage.ancestors(edge.source)
    return [one.path for one in left if behind & set(one.keys)]


def _blocked(lineage: Lineage, found, learning: Sequence[Asked]) -> set[str]:
    """Variables that something other than a learning variable's first value keeps at zero."""
    return {path for edge, paths in found if not _starts_at_zero(lineage, edge, learning) for path in paths}


def _starts_at_zero(lineage: Lineage, edge: Edge, learning: Sequence[Asked]) -> bool:
    """Whether the op multiplies by a variable that is zero now and has a gradient of its own."""
    factors = {s for s, t in zip(edge.op.sources, edge.op.inputs, strict=True)
               if s != edge.source and hasattr(t, "numpy") and t.dtype.is_floating and is_zero(t)}  # fmt: skip
    return any(
        factors & lineage.descends_from(one.keys) and is_zero(tf.convert_to_tensor(one.variable)) for one in learning
    )


def _findings(recording, lineage, found, zeros: Sequence[Asked], passing: set[str]) -> list[Finding]:
    findings, told = [], set()
    paths_of = {id(edge): [path for path in paths if path not in passing] for edge, paths in found}
    for group in merged(edge for edge, _ in found):
        paths = list(dict.fromkeys(path for edge in group for path in paths_of[id(edge)]))
        if not paths:
            continue
        told.update(paths)
        edge = group[0]
        findings.append(Finding("zero", "zero_gradient", paths, op_type=edge.op.type, op_name=edge.op.name,
                                detail=_detail(edge), chain=chain_from(lineage, edge), **place_fields(edge.site)))  # fmt: skip
    known = {path for _, paths in found for path in paths}
    silent = [one.path for one in zeros if one.path not in told and one.path not in known]
    if silent:
        op = next((recording.trace.producers.get(k) for k in lineage.distance), None)
        findings.append(Finding("zero", "zero_gradient", silent, op_type=op and op.type, detail=(
            "No single op is to blame: what the ops hand back cancels exactly."), **place_fields(op and op.site)))  # fmt: skip
    return findings


def _detail(edge: Edge) -> str:
    op = edge.op
    others = [t for s, t in zip(op.sources, op.inputs, strict=True) if s != edge.source and hasattr(t, "numpy")]
    if any(t.dtype.is_floating and t.shape.rank and is_zero(t) for t in others):
        return "The other operand is zero everywhere, so nothing comes back."
    value = op.inputs[op.sources.index(edge.source)]
    if hasattr(value, "numpy") and value.dtype.is_floating and value.shape.num_elements():
        low, high = float(tf.reduce_min(value)), float(tf.reduce_max(value))
        return f"Its input lies between {low:.4g} and {high:.4g}, where its slope is exactly zero."
    return ""
