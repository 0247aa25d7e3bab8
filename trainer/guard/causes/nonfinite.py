"""Gradients that are NaN or infinite: the op at which they first appear, in the forward or the backward pass."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import tensorflow as tf

from ..capture.answer import Entry, is_finite
from ..capture.frames import site_of_error
from ..capture.recorder import Recording
from ..capture.trace import Op, key
from ..search.lineage import Edge, Lineage, merged
from ..search.probe import refused_numbers
from ..search.slopes import finite_keys, frontier, own_backward, slopes, tensors_of
from ..words.finding import Finding
from .cut import chain_from, link_of, place_fields


def nonfinite_findings(
    recording: Recording, lineage: Lineage, affected: Sequence[Entry], entries: Sequence[Entry]
) -> list[Finding]:
    """Findings for variables whose gradient is not finite, and for a loss that is not."""
    paths = [entry.path for entry in affected] or [entry.path for entry in entries if not _is_sound(entry)]
    origins = _forward_origins(recording)
    if origins:
        return [_forward(recording, op, bad, paths) for op, bad in origins]
    tensors = tensors_of(lineage)
    gradients = slopes(recording, tensors, [part for part in tf.nest.flatten(recording.loss) if tf.is_tensor(part)])
    finite = finite_keys(gradients)
    edges = frontier(lineage, finite, set(gradients) - finite, whole=True)
    own = [(edge, own_backward(recording, edge, gradients)) for edge in edges]
    groups = merged(edge for edge, answer in own if answer is None or not is_finite(answer))
    findings = [_backward(lineage, group, affected) for group in groups]
    findings = [finding for finding in findings if finding.variables]
    known = {path for finding in findings for path in finding.variables}
    rest = [path for path in paths if path not in known]
    return [*findings, *([Finding("nonfinite", "nan_gradient", rest)] if rest else [])]


def failed_on_numbers(recording: Recording, entries: Sequence[Entry], error: Exception) -> list[Finding]:
    """Findings for a forward pass in which an op refused its numbers: a NaN that was checked for, a singular matrix."""
    if not _is_about_numbers(error):
        return []
    paths = [entry.path for entry in entries]
    for op in recording.trace.ops:
        bad = [t for t in op.outputs if hasattr(t, "numpy") and t.dtype.is_floating and not is_finite(t)]
        if bad:
            return [_forward(recording, op, bad[0], paths)]
    named = re.search(r"\[Op:(\w+)\]", str(error))
    return [
        Finding(
            "nonfinite",
            "nan_gradient",
            paths,
            op_type=named and named[1],
            detail=f"TensorFlow stopped: {_words(error)}",
            **place_fields(site_of_error(error)),
        )
    ]


def backward_failed_on_numbers(lineage: Lineage, entries: Sequence[Entry], error: Exception) -> list[Finding]:
    """Findings for ops whose gradient function refuses the numbers of the forward pass: a singular matrix, say.

    TensorFlow names the op that failed on the way back (MatrixInverse), the user wrote another (MatrixDeterminant).
    """
    if not _is_about_numbers(error):
        return []
    findings, tried = [], set()
    for edge in lineage.edges():
        if edge.op is None or edge.op.order in tried:
            continue
        tried.add(edge.op.order)
        refusal = refused_numbers(edge.op)
        paths = [entry.path for entry in entries if edge.source in lineage.descends_from(entry.keys)] if refusal else []
        if paths:
            findings.append(
                Finding(
                    "nonfinite",
                    "nan_gradient",
                    paths,
                    op_type=edge.op.type,
                    op_name=edge.op.name,
                    detail=f"On the way back TensorFlow stopped: {_words(refusal)}",
                    chain=chain_from(lineage, edge),
                    **place_fields(edge.site),
                )
            )
    return findings


def _is_about_numbers(error: Exception) -> bool:
    return isinstance(error, tf.errors.InvalidArgumentError) and bool(_ABOUT_NUMBERS.search(str(error)))


def _words(error: Exception) -> str:
    return re.sub(r"\{\{.*?\}\} ?|\[Op:\w+\].*", "", str(error)).strip()


_ABOUT_NUMBERS = re.compile(r"\b(?:NaN|Inf|nan|inf|invertible|singular|Cholesky|not successful|converge)\b")


def _forward_origins(recording: Recording) -> list[tuple[Op | None, tf.Tensor]]:
    """The ops with finite inputs from which the NaN of the loss comes; with None, tensors that came in as NaN.

    Infinity that comes in from outside is intended (as in an attention mask): then the op that makes it NaN is meant.
    """
    losses = [part for part in tf.nest.flatten(recording.loss) if hasattr(part, "numpy")]
    origins = _origins(recording, [part for part in losses if not is_finite(part)], is_finite)
    if any(op is None and not _has_nan(tensor) for op, tensor in origins):
        made = _origins(recording, [part for part in losses if _has_nan(part)], lambda part: not _has_nan(part))
        return made or origins
    return origins


def _origins(recording: Recording, queue: list, is_good: Callable) -> list[tuple[Op | None, tf.Tensor]]:
    trace, origins, seen = recording.trace, {}, set()
    while queue:
        tensor = queue.pop()
        if key(tensor) in seen:
            continue
        seen.add(key(tensor))
        op = trace.producers.get(key(tensor))
        inputs = [t for t in op.inputs if hasattr(t, "numpy") and t.dtype.is_floating] if op else []
        bad = [t for t in inputs if not is_good(t)]
        queue.extend(bad)
        if not bad:
            origins.setdefault(_place(op, tensor), (op, tensor))
    return list(origins.values())


def _has_nan(tensor: tf.Tensor) -> bool:
    return tensor.dtype.is_floating and bool(tf.reduce_any(tf.math.is_nan(tensor)))


def _place(op: Op | None, tensor) -> tuple:
    return (op.type, op.site) if op is not None else (None, key(tensor))


def _forward(recording: Recording, op: Op | None, bad: tf.Tensor, paths: Sequence[str]) -> Finding:
    kinds = _kinds(bad)
    reader = op or next((reader for reader in recording.trace.ops if key(bad) in reader.sources), None)
    is_read = op is not None and any(t.dtype == tf.resource for t in op.inputs)
    if is_read or op is None:
        what = "A variable" if is_read else "A tensor that comes in from outside (an image, a label, a weight)"
        detail = f"{what} holds {kinds} before anything is computed."
        return Finding("nonfinite", "nan_gradient", paths, detail=detail, **place_fields(reader and reader.site))
    shown = ", ".join(_range(t) for t in op.inputs if hasattr(t, "numpy") and t.dtype.is_floating)
    return Finding(
        "nonfinite",
        "nan_gradient",
        paths,
        op_type=op.type,
        op_name=op.name,
        detail=f"On the way forward its result holds {kinds}. Its inputs: {shown}.",
        chain=_chain(recording, op),
        **place_fields(op.site),
    )


def _backward(lineage: Lineage, group: Sequence[Edge], affected: Sequence[Entry]) -> Finding:
    behind = set().union(*(lineage.ancestors(edge.source) for edge in group))
    paths = [entry.path for entry in affected if behind & set(entry.keys)]
    edge = group[0]
    shown = ", ".join(_range(t) for t in edge.op.inputs if hasattr(t, "numpy") and t.dtype.is_floating)
    return Finding(
        "nonfinite",
        "nan_gradient",
        paths,
        op_type=edge.op.type,
        op_name=edge.op.name,
        detail=f"The loss is finite; on the way back this op's gradient is not. Its inputs: {shown}.",
        chain=chain_from(lineage, edge),
        **place_fields(edge.site),
    )


def _chain(recording: Recording, op: Op) -> tuple:
    """The ops from here to the loss along which the NaN travels."""
    consumers: dict[int, Op] = {}
    for later in recording.trace.ops:
        for source in later.sources:
            consumers.setdefault(source, later)
    links, seen = [], {op.order}
    while True:
        op = next((consumers[r] for r in op.results if r in consumers), None)
        if op is None or op.order in seen:
            return tuple(links)
        seen.add(op.order)
        links.append(link_of(op))


def _is_sound(entry: Entry) -> bool:
    """Whether the variable's own value is finite."""
    return is_finite(tf.convert_to_tensor(entry.variable))


def _kinds(tensor: tf.Tensor) -> str:
    has_nan = bool(tf.reduce_any(tf.math.is_nan(tensor)))
    has_infinity = bool(tf.reduce_any(tf.math.is_inf(tensor)))
    return " and ".join(word for word, has in (("NaN", has_nan), ("infinity", has_infinity)) if has)


def _range(tensor: tf.Tensor) -> str:
    if not tensor.shape.num_elements():
        return "an empty tensor"
    low, high = float(tf.reduce_min(tensor)), float(tf.reduce_max(tensor))
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
