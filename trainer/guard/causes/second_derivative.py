"""A gradient that the forward pass itself computes (a penalty, a differential equation), and that is None or zero."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Sequence

import tensorflow as tf

from ..capture.answer import Entry, is_zero
from ..capture.layers import described
from ..capture.owners import handles_of
from ..capture.recorder import Recording
from ..capture.trace import InnerGradient, Op, Trace, key
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
    unanswered = [inner for inner in recording.trace.inner if inner.answer is None]
    found = [finding for inner in unanswered for finding in _why(recording, inner, paths)]
    return in_words(recording, found)


def in_words(recording: Recording, findings: Sequence[Finding]) -> list[Finding]:
    """The findings; those caused by a second derivative that vanished say so, at its line."""
    vanished = next((found for found in map(_vanished, *_derivatives(recording.trace)) if found is not None), None)
    if vanished is None:
        return list(findings)
    mine = [finding for finding in findings if _comes_of(recording.trace, vanished, finding)]
    left, merged = [finding for finding in findings if finding not in mine], []
    for kind in dict.fromkeys(finding.kind for finding in mine):
        group = [finding for finding in mine if finding.kind == kind]
        by_activation = vanished.op_type if kind == "zero" else None
        first = next((finding for finding in group if finding.op_type == by_activation), group[0])
        merged.append(
            dataclasses.replace(
                first,
                variables=tuple(dict.fromkeys(path for finding in group for path in finding.variables)),
                op_type=by_activation or first.op_type,
                **{"code": None, "columns": None, **place_fields(vanished.inner.site)},
                detail=vanished.words,
                advice=vanished.advice,
            )
        )
    return [*left, *merged]


@dataclasses.dataclass(frozen=True)
class _Vanished:
    """A derivative of a derivative that is None or zero everywhere, and why."""

    inner: InnerGradient
    words: str
    advice: str
    op_type: str | None


# Piecewise linear: their second derivative is zero wherever it exists.
_PIECEWISE = {
    "Relu": "ReluGrad",
    "Relu6": "Relu6Grad",
    "LeakyRelu": "LeakyReluGrad",
    "Maximum": None,
    "Minimum": None,
    "ClipByValue": None,
    "Abs": None,
}
_LINEAR = frozenset(
    "MatMul BatchMatMulV2 BatchMatMulV3 Einsum Conv1D Conv2D Conv3D BiasAdd Add AddV2 AddN Sub Neg Reshape Transpose "
    "Squeeze ExpandDims ConcatV2 Pack Unpack Split SplitV StridedSlice Slice GatherV2 Sum Mean AvgPool Identity Cast "
    "ReadVariableOp Const Shape Size Fill Tile BroadcastTo Pad PadV2 StopGradient".split()
)
_ADVICE = (
    "Give the hidden layers an activation whose derivatives go on: tanh, softplus, swish (silu), gelu or tf.sin. ReLU "
    "and its like have a slope and nothing beyond it."
)


def _derivatives(trace: Trace) -> tuple[list[Trace], list[InnerGradient], list[int]]:
    """The inner gradients of a forward pass, each with its order: 2 for the gradient of a gradient."""
    orders: list[int] = []
    for inner in trace.inner:
        behind = _ancestors(trace, inner.target)
        before = [
            order
            for other, order in zip(trace.inner, orders, strict=False)
            if any(key(part) in behind for part in _tensors(other.answer))
        ]
        orders.append(1 + max(before, default=0))
    return [trace] * len(orders), list(trace.inner), orders


def _vanished(trace: Trace, inner: InnerGradient, order: int) -> _Vanished | None:
    """The second derivative behind an inner gradient, if it is one and nothing came back."""
    answers = _tensors(inner.answer)
    if order < 2 or (answers and not all(is_zero(answer) for answer in answers)):
        return None
    forward = [op for op in _ancestors(trace, inner.target).values() if op is not None and not op.differentiating]
    bent = [op for op in forward if op.type in _PIECEWISE]
    custom = [op for op in forward if op.backward is not None]
    others = [op for op in forward if op.type not in _LINEAR and op not in bent and op not in custom]
    shape = tuple(inner.source.shape) if isinstance(inner.source, (tf.Tensor, tf.Variable)) else ""
    which = {2: "second", 3: "third"}.get(order, f"{order}th")
    words = f"The {which} derivative, with respect to a value of shape {shape}, is "
    words += "None: the one before does not depend on it any more." if not answers else "zero everywhere."
    if custom:
        names = ", ".join(f"`{name}`" for name in dict.fromkeys(op.label for op in custom if op.label))
        words += f" The custom gradient of {names} is a function of what comes back alone, so it has no slope itself."
        return _Vanished(inner, words, "Write the custom gradient with TensorFlow ops of its input.", None)
    if bent and not others:
        shown = [described(op.layer) if op.layer is not None else f"{op.type} (line {_line(op)})" for op in bent]
        words += f" It vanished at {', '.join(dict.fromkeys(shown))}: straight pieces, whose slope does not change."
        return _Vanished(inner, words, _ADVICE, _PIECEWISE[bent[0].type])
    if not bent and not others:
        words += " Nothing between the two bends: the network is linear in its input (activation linear, or none)."
        return _Vanished(inner, words, _ADVICE, None)
    return None


def _line(op: Op) -> int | str:
    return op.site.line if op.site else "?"


def _comes_of(trace: Trace, vanished: _Vanished, finding: Finding) -> bool:
    """Whether a finding is a consequence of a vanished derivative: at its own line, or further on."""
    site = vanished.inner.site
    if finding.cause == "not_used" or site and (finding.file, finding.line) == (site.file, site.line):
        return True
    constant = finding.cause == "constant_loss"  # zeros in place of None: numbers like any other
    if finding.kind != "zero" and not constant:
        return False
    known, lines = {key(part) for part in _tensors(vanished.inner.answer)}, set()
    for op in trace.ops:
        if known & set(op.sources):
            known.update(op.results)
            lines.add((op.site.file, op.site.line) if op.site else None)
    if constant:
        return bool(known & {key(part) for part in _tensors(trace.loss)})
    return (finding.file, finding.line) in lines


def _ancestors(trace: Trace, target) -> dict[int, Op | None]:
    """All tensors from which a tensor was computed, by key, with the ops that made them."""
    found: dict[int, Op | None] = {}
    queue = [key(part) for part in _tensors(target)]
    while queue:
        known = queue.pop()
        if known not in found:
            found[known] = trace.producers.get(known)
            queue.extend(found[known].sources if found[known] is not None else ())
            queue.extend(link.source for link in trace.links.get(known, ()))
    return found


def _tensors(structure) -> list[tf.Tensor]:
    return [part for part in tf.nest.flatten(structure) if tf.is_tensor(part) and hasattr(part, "_id")]


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
