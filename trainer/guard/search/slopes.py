"""Gradients of the loss with respect to every tensor of a recorded run, in one backward pass of the run's own tape."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from ..capture.answer import dense, is_finite, is_zero
from ..capture.recorder import Recording
from ..capture.trace import key
from .lineage import Edge, Lineage, Way
from .probe import as_operation, gradient_function


def tensors_of(lineage: Lineage) -> dict[int, tf.Tensor]:
    """The floating-point tensors with values among the ancestors of the loss, by key."""
    found = {}
    for known in lineage.distance:
        tensor = lineage.trace.tensors.get(known)
        if hasattr(tensor, "numpy") and key(tensor) == known and (tensor.dtype.is_floating or tensor.dtype.is_complex):
            found[known] = tensor
    return found


def slopes(recording: Recording, tensors: dict[int, tf.Tensor], targets: Any, seeds: Any = None) -> dict[int, Any]:
    """The gradient of `targets`, weighted by `seeds`, for each tensor that has one.

    Raises:
      Exception: whatever the backward pass of the user's program raises.
    """
    gradients = recording.tape.gradient(targets, list(tensors.values()), output_gradients=seeds)
    found = {known: g for known, g in zip(tensors, gradients, strict=True) if g is not None}
    for target in tf.nest.flatten(targets):
        found.setdefault(key(target), tf.ones_like(target))
    return found


def varied(tensor: tf.Tensor) -> tf.Tensor:
    """Weights for an output that no symmetry cancels, as a softmax or a centring does with equal ones."""
    steps = tf.reshape(tf.range(tf.size(tensor), dtype=tf.float32), tf.shape(tensor))
    return tf.cast(1.0 + 0.5 * tf.sin(1.0 + 1.7 * steps), tensor.dtype)


def frontier(lineage: Lineage, good: set[int], bad: set[int], whole: bool = False) -> list[Edge]:
    """The ops at whose output the gradient is still good and at whose input it is bad.

    Args:
      whole: an op counts only if none of its outputs is bad.
    """
    # a tf.py_function has its own tape inside; for this one it is a single op
    opened = [op for op in lineage.trace.ops if op.opened]
    closed = [Edge(source, result, Way.PASS, op) for op in opened for source in op.sources for result in op.results]
    return [
        edge
        for edge in (*lineage.edges(), *closed)
        if edge.op is not None
        and edge.way in (Way.PASS, Way.ZERO)
        and edge.target in good
        and edge.source in bad
        and not (whole and bad & set(edge.op.results))
    ]


def own_backward(recording: Recording, edge: Edge, gradients: dict[int, Any]) -> Any:
    """An op's gradient for one input, given the gradients of its outputs; None where it cannot be computed.

    The gradient of a tensor is a sum over its uses, so it does not show which of them is at fault.
    """
    op = edge.op
    arriving = [gradients.get(result) for result in op.results]
    try:
        if op.backward is not None:
            seeds = [tf.zeros_like(t) if g is None else dense(g) for t, g in zip(op.outputs, arriving, strict=True)]
            answers = tf.nest.flatten(op.backward(*seeds))
        elif op.opaque or op.opened or op.operation is not None:
            return None
        else:
            seeds = [
                tf.zeros_like(t) if g is None and t.dtype.is_floating else g
                for t, g in zip(op.outputs, arriving, strict=True)
            ]
            answers = gradient_function(op)(as_operation(op), *seeds)
    except Exception:  # a gradient function may fail on the numbers; then the tensor's whole gradient has to do
        return None
    answers = list(answers) if isinstance(answers, (list, tuple)) else [answers]
    mine = [answer for source, answer in zip(op.sources, answers, strict=False) if source == edge.source]
    return next((answer for answer in mine if answer is not None and not is_finite(answer)), next(iter(mine), None))


def nonzero_keys(gradients: dict[int, Any]) -> set[int]:
    return {known for known, gradient in gradients.items() if not is_zero(gradient)}


def finite_keys(gradients: dict[int, Any]) -> set[int]:
    return {known for known, gradient in gradients.items() if is_finite(gradient)}
