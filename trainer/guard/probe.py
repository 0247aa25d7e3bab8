"""Does an op hand its gradient on? TensorFlow's own gradient function is asked, on a scratch graph that is thrown away.

For each input `i` and output `j` of an op the answer is one of `PASS`, `ZERO`, `CUT` and `RAISES`. A gradient function
gets a placeholder for the gradient of each output; an input whose gradient comes back as None is cut, one whose gradient
does not depend on the placeholder of `j` is zero whatever comes in. Nothing is added to the user's graph: the scratch
graph captures what the gradient function reads.
"""

from __future__ import annotations

import collections
import enum

import tensorflow as tf
from tensorflow.python.eager import backprop
from tensorflow.python.framework import func_graph as func_graphs
from tensorflow.python.framework import ops

from trainer.guard.trace import Op, differentiable


class Kind(enum.Enum):
    """What becomes of a gradient between an output of an op and one of its inputs."""

    PASS = "pass"
    ZERO = "zero"  # a tensor comes back, and it is zero by construction
    CUT = "cut"  # None comes back
    RAISES = "raises"  # the gradient function raises, or there is none


Kinds = tuple[tuple[Kind, ...], ...]  # by input, then by output

_answers: dict[tuple, Kinds] = {}


def probe(op: Op) -> Kinds:
    """The kinds of all edges of an op, as `kinds[input][output]`. Known op types are answered from memory."""
    if op.opaque:
        return _all(op, Kind.CUT)
    if op.backward is not None:
        return _call_backward(op)
    if op.type == "EagerPyFunc":
        return _all(op, Kind.PASS)  # its gradient function would register a Python function for good; the tape decides
    signature = _signature(op)
    if signature in _answers:
        return _answers[signature]
    answer, lasting = _ask(op)
    if lasting and signature is not None:
        _answers[signature] = answer
    return answer


def gradient_function(op: Op):
    """The registered gradient function; None for an op registered as not differentiable.

    Raises:
      LookupError: the registry has no entry for this type of op.
    """
    if op.operation is not None:
        return ops.get_gradient_function(op.operation)  # no public way leads from an op to its gradient function
    return ops.gradient_registry.lookup(op.type)


def as_operation(op: Op):
    """What a gradient function takes for the op: the graph operation, or a stand-in around the eager tensors."""
    if op.operation is not None:
        return op.operation
    # The tape itself calls gradient functions with this class; there is no public one.
    return backprop._MockOp(op.attrs, list(op.inputs), list(op.outputs), op.type, None)


def _ask(op: Op) -> tuple[Kinds, bool]:
    if not any(_carries(output) for output in op.outputs):
        return _all(op, Kind.CUT), True  # nobody ever asks for the gradient of integers
    try:
        function = gradient_function(op)
    except LookupError:
        return _all(op, Kind.RAISES), True
    if function is None:
        return _all(op, Kind.CUT), True
    outer = op.operation.graph if op.operation is not None else None
    scratch = _scratch_graph(outer)
    with scratch.as_default():
        upstream = [_placeholder(output) for output in op.outputs]
        try:
            answers = function(as_operation(op), *upstream)
        except LookupError:  # PreventGradient, and ops that refuse by raising
            return _all(op, Kind.RAISES), True
        except Exception:  # noqa: BLE001 - a gradient function may fail in any way on a placeholder; then nothing is cut
            return _all(op, Kind.PASS), False
        if not isinstance(answers, (list, tuple)):
            answers = [answers]
        return tuple(_row(op, answer, upstream, scratch) for answer in _padded(answers, op)), True


def _scratch_graph(outer):
    if outer is None:
        return func_graphs.FuncGraph("guard_probe")
    with outer.as_default():  # a FuncGraph takes the current default graph for the one that it may capture from
        return func_graphs.FuncGraph("guard_probe")


def _carries(output) -> bool:
    return differentiable(output) and output.dtype != tf.resource


def _placeholder(output):
    if not _carries(output):
        return None
    return tf.compat.v1.placeholder(output.dtype, output.shape)


def _padded(answers, op: Op):
    return (list(answers) + [None] * len(op.inputs))[: len(op.inputs)]


def _row(op: Op, answer, upstream, scratch) -> tuple[Kind, ...]:
    if answer is None:
        return (Kind.CUT,) * len(op.outputs)
    reached = _reached(answer, scratch)
    return tuple(
        Kind.CUT if seed is None else Kind.PASS if seed._id in reached else Kind.ZERO for seed in upstream
    )


def _reached(answer, scratch) -> set[int]:
    """Keys of all tensors of the scratch graph that the answer is computed from."""
    parts = [part for part in tf.nest.flatten(answer, expand_composites=True) if tf.is_tensor(part)]
    seen, queue = set(), collections.deque(part for part in parts if getattr(part, "graph", None) is scratch)
    while queue:
        tensor = queue.popleft()
        if tensor._id not in seen:
            seen.add(tensor._id)
            queue.extend(tensor.op.inputs)
    return seen


def _call_backward(op: Op) -> Kinds:
    """A custom gradient is the user's own code: it is called once on ones, eagerly, as the tape would call it."""
    upstream = [tf.ones_like(output) for output in op.outputs]
    try:
        with tf.GradientTape() as tape, tape.stop_recording():
            answers = op.backward(*upstream)
    except Exception:  # noqa: BLE001 - whatever the user's function raises, the backward pass would raise as well
        return _all(op, Kind.RAISES)
    answers = _padded(tf.nest.flatten(answers), op)
    return tuple((Kind.CUT if answer is None else Kind.PASS,) * len(op.outputs) for answer in answers)


def _signature(op: Op):
    """Ops with equal signatures get equal answers: type, attributes and types of the tensors, not their values."""
    types = tuple(t.dtype for t in op.inputs), tuple(t.dtype for t in op.outputs)
    if op.operation is None:
        return (op.type, _hashable(op.attrs), *types)
    attributes = op.operation.node_def.attr
    if any(name in attributes for name in ("_gradient_op_type",)) or op.operation._gradient_function:
        return None
    parts = tuple((n, attributes[n].SerializeToString()) for n in sorted(attributes) if not n.startswith("_"))
    return (op.type, parts, *types)


def _hashable(value):
    return tuple(map(_hashable, value)) if isinstance(value, (list, tuple)) else (type(value).__name__, str(value))


def _all(op: Op, kind: Kind) -> Kinds:
    return ((kind,) * len(op.outputs),) * len(op.inputs)
