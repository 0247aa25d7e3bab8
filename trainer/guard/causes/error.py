"""Errors instead of gradients: an op without a registered gradient, a symbolic tensor handed to NumPy."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import tensorflow as tf

from ..capture import graphs
from ..capture.answer import Entry, entries_of
from ..capture.frames import site_of_error
from ..capture.private import scratch_graph
from ..capture.retrace import leaves_tensorflow
from ..search.lineage import Lineage, Way, merged
from ..words.finding import Finding, Report
from .cut import cut_findings, finding_of, place_fields

_NO_GRADIENT = re.compile(
    r"(?:gradient registry has no entry for: |No gradient defined for operation[^(]*\(op type: )(\w+)"
)
_SYMBOLIC = (
    "`model.output`, `layer.output` and `keras.Input` are KerasTensors: they stand for a shape and a type while a model"
    " is built, and hold no numbers. The loss takes what the model returns under the tape: `model(x, training=True)`."
)


@tf.autograph.experimental.do_not_convert
def explain_exception(error: Exception, forward_loss: Callable | None, variables: Iterable) -> Report | None:
    """Turns an error of the forward or the backward pass that is about gradients into findings.

    Args:
      error: what the forward pass or `tape.gradient` raised, in eager mode or while a step was traced.
      forward_loss: computes the loss; traced again on a scratch graph, to find the op's line. None: only the error's
        message is used.
      variables: those of the requested gradient.

    Returns:
      A report with findings, or None for an error that has nothing to do with gradients.
    """
    entries = entries_of(variables)
    if leaves_tensorflow(error):
        site, words = site_of_error(error), (str(error).strip().splitlines() or [""])[-1].strip()
        kind = type(error).__name__  # AutoGraph writes it before the message
        detail = words if words.startswith(kind) else f"{kind}: {words}"
        return Report((_plain("left_tensorflow", entries, detail, site),), len(entries))
    if "KerasTensor" in str(error):
        return Report((_plain("outside_tape", entries, _SYMBOLIC, site_of_error(error)),), len(entries))
    named = _NO_GRADIENT.search(str(error))
    if not named:
        return None
    findings = _by_graph(forward_loss, entries) if forward_loss is not None else []
    if not findings:
        detail = f"TensorFlow has no gradient registered for {named[1]}, so tape.gradient raises LookupError."
        findings = [_plain("non_differentiable_op", entries, detail, site_of_error(error), named[1])]
    return Report(tuple(findings), len(entries))


def raising(lineage: Lineage, entries: Sequence[Entry]) -> list[Finding]:
    """Findings for ops whose gradient function raises: they spoil the whole backward pass, beside any open path."""
    findings = []
    for group in merged(edge for edge in lineage.edges() if edge.way is Way.RAISES):
        sources = {edge.source for edge in group}
        through = [entry.path for entry in entries if sources & lineage.descends_from(entry.keys)]
        if through:
            findings.append(finding_of(lineage, group[0], through))
    return findings


def _by_graph(forward_loss: Callable, entries: Sequence[Entry]) -> list[Finding]:
    """Traces the forward pass on a scratch graph beside the one being built, and searches that."""
    scratch = scratch_graph("guard_retrace")
    with scratch.as_default():
        try:
            loss = forward_loss()
        except Exception:  # it failed before, or only runs eagerly: then only the first error is used
            return []
    if not tf.is_tensor(loss):
        return []
    trace = graphs.trace_of(scratch)
    trace.loss = loss
    lineage = Lineage(trace)
    cut = [entry for entry in entries if lineage.distance_of(entry.keys)]
    findings = cut_findings(lineage, cut)
    known = {(finding.op_type, finding.line) for finding in findings}
    return findings + [f for f in raising(lineage, entries) if (f.op_type, f.line) not in known]


def _plain(cause: str, entries: Sequence[Entry], detail: str, site, op_type: str | None = None) -> Finding:
    paths = [entry.path for entry in entries]
    return Finding("missing", cause, paths, op_type=op_type, detail=detail, **place_fields(site))
