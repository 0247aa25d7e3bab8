"""Ops whose result is always the same because of their shapes: a softmax over one unit.

Their gradient is zero on paper; in floating point it is zero or about 1e-9, as the processor rounds.
"""

from __future__ import annotations

import tensorflow as tf

from ..capture.trace import Op, Trace

_OVER_LAST_AXIS = frozenset(
    {"Softmax", "LogSoftmax", "SoftmaxCrossEntropyWithLogits", "SparseSoftmaxCrossEntropyWithLogits"}
)
_HANDING_ON = frozenset({"Identity", "Reshape", "ExpandDims", "Squeeze", "Cast"})
_MOST_STEPS = 4


def is_flat_alone(operation: tf.Operation) -> bool:
    """Whether a graph operation is flat because of the shape of its own input, whatever made that."""
    shape = operation.inputs[0].shape if operation.type in _OVER_LAST_AXIS else None
    return shape is not None and bool(shape.rank) and shape[-1] == 1


def is_flat(trace: Trace, op: Op) -> bool:
    """Whether an op's result cannot depend on its first input."""
    shape = op.inputs[0].shape if op.inputs else None
    if op.type in _OVER_LAST_AXIS:
        return bool(shape.rank) and shape[-1] == 1
    return op.type in ("RealDiv", "DivNoNan") and _is_its_own_sum(trace, op)


def _is_its_own_sum(trace: Trace, op: Op) -> bool:
    """`x / reduce_sum(x, axis)` over an axis that holds a single entry."""
    above, below = op.inputs
    size = above.shape.num_elements()
    if size is None or size != below.shape.num_elements():
        return False
    known = op.sources[1]
    for _ in range(_MOST_STEPS):
        made = trace.producers.get(known)
        if made is None:
            return False
        if made.type == "Sum":
            return made.sources[0] == op.sources[0] and made.inputs[0].shape.num_elements() == size
        if made.type not in _HANDING_ON:
            return False
        known = made.sources[0]
    return False
