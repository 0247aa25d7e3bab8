"""Errors instead of gradients: an op without a registered gradient, a symbolic tensor handed to NumPy."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

import tensorflow as tf

from ..capture import graphs
from ..capture.answer import Asked, asked_of
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
    """Puts an error of the forward or the backward pass into findings, where it is one about gradients.

    Args:
      error: what the forward pass or `tape.gradient` raised, in eager mode or while a step was traced.
      forward_loss: computes the loss; traced once more on a scratch graph, to find the op's line. None: the error's
        own words have to do.
      variables: what the gradient was asked for.

    Returns:
      A report with findings, or None for an error that has nothing to do with gradients.
    """
    asked = asked_of(variables)
    if leaves_tensorflow(error):
        site, words = site_of_error(error), (str(error).strip().splitlines() or [""])[-1].strip()
        kind = type(error).__name__  # AutoGraph puts it before the words itself
        detail = words if words.startswith(kind) else f"{kind}: {words}"
        return Report((_plain("left_tensorflow", asked, detail, site),), len(asked))
    if "KerasTensor" in str(error):
        return Report((_plain("outside_tape", asked, _SYMBOLIC, site_of_error(error)),), len(asked))
    named = _NO_GRADIENT.search(str(error))
    if not named:
        return None
    findings = _by_graph(forward_loss, asked) if forward_loss is not None else []
    if not findings:
        detail = f"TensorFlow has no gradient registered for {named[1]}, so tape.gradient raises LookupError."
        findings = [_plain("non_differentiable_op", asked, detail, site_of_error(error), named[1])]
    return Report(tuple(findings), len(asked))


def raising(lineage: Lineage, asked: Sequence[Asked]) -> list[Finding]:
    """Findings for ops whose gradient function raises: they spoil the whole backward pass, even beside an open way."""
    findings = []
    for group in merged(edge for edge in lineage.edges() if edge.way is Way.RAISES):
        sources = {edge.source for edge in group}
        through = [one.path for one in asked if sources & lineage.descends_from(one.keys)]
        if through:
            findings.append(finding_of(lineage, group[0], through))
    return findings


def _by_graph(forward_loss: Callable, asked: Sequence[Asked]) -> list[Finding]:
    """Traces the forward pass on a scratch graph beside the one being built, and searches that."""
    scratch = scratch_graph("guard_retrace")
    with scratch.as_default():
        try:
            loss = forward_loss()
        except Exception:  # it failed before, or only runs eagerly: then the first error has to do
            return []
    if not tf.is_tensor(loss):
        return []
    trace = graphs.trace_of(scratch)
    trace.loss = loss
    lineage = Lineage(trace)
    cut = [one for one in asked if lineage.distance_of(one.keys)]
    findings = cut_findings(lineage, cut)
    told = {(finding.op_type, finding.line) for finding in findings}
    return findings + [f for f in raising(lineage, asked) if (f.op_type, f.line) not in told]


def _plain(cause: str, asked: Sequence[Asked], detail: str, site, op_type: str | None = None) -> Finding:
    return Finding("missing", cause, [one.path for one in asked], op_type=op_type, detail=detail, **place_fields(site))
