"""Whether an op passes its gradient on, by TensorFlow's own gradient function on a scratch graph that is thrown away.

For each input `i` and output `j` of an op the result is `PASS`, `ZERO`, `CUT` or `RAISES`. A gradient function
gets a placeholder for the gradient of each output; an input whose gradient comes back as None is cut, one whose
gradient does not depend on the placeholder of `j` is always zero. Nothing is added to the user's graph: the
scratch graph captures what the gradient function reads.
"""

from __future__ import annotations

import collections
import enum
from types import FunctionType

import tensorflow as tf

from ..capture import private
from ..capture.trace import Op, differentiable, key


class Kind(enum.Enum):
    """What happens to a gradient between an output of an op and one of its inputs."""

    PASS = "pass"
    ZERO = "zero"  # the tensor that comes back is zero by construction
    CUT = "cut"  # None comes back
    RAISES = "raises"  # the gradient function raises, or there is none


Kinds = tuple[tuple[Kind, ...], ...]  # by input, then by output

_answers: dict[tuple, Kinds] = {}


def probe(op: Op) -> Kinds:
    """The kinds of all edges of an op, as `kinds[input][output]`. Cached for known op types."""
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
    return private.registered_gradient(op.type, op.operation)


def as_operation(op: Op):
    """The operation that a gradient function gets: the graph operation, or a stand-in around the eager tensors."""
    if op.operation is not None:
        return op.operation
    return private.stand_in(op.type, op.attrs, list(op.inputs), list(op.outputs))


def _ask(op: Op) -> tuple[Kinds, bool]:
    if not any(_carries(output) for output in op.outputs):
        return _all(op, Kind.CUT), True  # integers never need a gradient
    try:
        function = gradient_function(op)
    except LookupError:
        return _all(op, Kind.RAISES), True
    if function is None:
        return _all(op, Kind.CUT), True
    outer = op.operation.graph if op.operation is not None else None
    scratch = private.scratch_graph("guard_probe", outer)
    with scratch.as_default():
        upstream = [_placeholder(output) for output in op.outputs]
        try:
            answers = function(as_operation(op), *upstream)
        except LookupError as error:  # PreventGradient
            op.refusal = str(error)
            return _all(op, Kind.RAISES), False
        except Exception:  # a gradient function may fail in any way, and on a placeholder alone
            return _all(op, Kind.RAISES if _refuses(op, function) else Kind.PASS), False
        if not isinstance(answers, (list, tuple)):
            answers = [answers]
        return tuple(_row(op, answer, upstream, scratch) for answer in _padded(answers, op)), True


def _refuses(op: Op, function) -> bool:
    """Whether the gradient function raises on real numbers as well, as the tape would call it."""
    if op.operation is not None:
        return False  # unknown without numbers; a None from the tape itself would have shown
    error = _error_on_numbers(op, function)
    if error is not None:
        op.refusal = f"{type(error).__name__}: {error}"
    return error is not None


def refused_numbers(op: Op) -> tf.errors.InvalidArgumentError | None:
    """The error that the gradient function of an eager op raises for the numbers of this run, or None."""
    if op.operation is not None or op.backward is not None or op.opaque or op.opened:
        return None
    try:
        function = gradient_function(op)
    except LookupError:
        return None
    error = _error_on_numbers(op, function) if function is not None else None
    return error if isinstance(error, tf.errors.InvalidArgumentError) else None


def _error_on_numbers(op: Op, function) -> Exception | None:
    try:
        with tf.init_scope():
            function(as_operation(op), *[tf.ones_like(out) if _carries(out) else None for out in op.outputs])
    except Exception as error:  # the backward pass raises the same
        return error
    return None


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
    return tuple(Kind.CUT if seed is None else Kind.PASS if key(seed) in reached else Kind.ZERO for seed in upstream)


def _reached(answer, scratch) -> set[int]:
    """Keys of all tensors of the scratch graph from which the result is computed."""
    parts = [part for part in tf.nest.flatten(answer, expand_composites=True) if tf.is_tensor(part)]
    seen, queue = set(), collections.deque(part for part in parts if getattr(part, "graph", None) is scratch)
    while queue:
        tensor = queue.popleft()
        if key(tensor) not in seen:
            seen.add(key(tensor))
            queue.extend(tensor.op.inputs)
    return seen


def _call_backward(op: Op) -> Kinds:
    """Calls a custom gradient, which is user code, once on ones, eagerly, as the tape would."""
    upstream = [tf.ones_like(output) for output in op.outputs]
    try:
        with tf.GradientTape() as tape, tape.stop_recording():
            answers = op.backward(*upstream)
    except Exception as error:  # the backward pass would raise the same
        op.refusal = f"{type(error).__name__}: {error}"
        return _all(op, Kind.RAISES)
    answers = _padded(tf.nest.flatten(answers), op)
    return tuple((Kind.CUT if answer is None else Kind.PASS,) * len(op.outputs) for answer in answers)


def _signature(op: Op):
    """Type, attributes and types of the tensors, but not their values: ops with equal signatures have equal results."""
    types = tuple(t.dtype for t in op.inputs), tuple(t.dtype for t in op.outputs)
    if op.operation is None:
        return (op.type, _hashable(op.attrs), *types)
    attributes = op.operation.node_def.attr
    if private.has_own_gradient(op.operation):
        return None
    if "_gradient_op_type" in attributes:
        return (op.type, _closure(gradient_function(op)), *types)
    parts = tuple((n, attributes[n].SerializeToString()) for n in sorted(attributes) if not n.startswith("_"))
    return (op.type, parts, *types)


def _closure(function, depth: int = 4):
    """A custom gradient's code and the plain values it closes over: equal for all calls of a decorated function."""
    parts = [function.__code__]
    for cell in function.__closure__ or ():
        try:
            value = cell.cell_contents
        except ValueError:  # a name that was never assigned
            continue
        if isinstance(value, FunctionType) and depth:
            parts.append(_closure(value, depth - 1))
        elif value is None or isinstance(value, (bool, int, float, str)):
            parts.append((type(value).__name__, value))
        else:
            parts.append(type(value).__name__)
    return tuple(parts)


def _hashable(value):
    return tuple(map(_hashable, value)) if isinstance(value, (list, tuple)) else (type(value).__name__, str(value))


def _all(op: Op, kind: Kind) -> Kinds:
    return ((kind,) * len(op.outputs),) * len(op.inputs)
