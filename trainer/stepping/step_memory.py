"""How much memory a compiled step takes, from its graph, before it is run: what is alive at a time, tensor by tensor.

The operations are gone through in the order in which they were traced. A tensor is held from the operation that makes
it to the last one that reads it; views take nothing, and an element by element operation writes over an input that
nobody else reads, as TensorFlow's kernels do. Sizes are those of the shapes, which a step knows all.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable

import tensorflow as tf

# What gives on its input's memory.
_VIEWS = {
    "Identity",
    "IdentityN",
    "Reshape",
    "ExpandDims",
    "Squeeze",
    "StopGradient",
    "PreventGradient",
    "CheckNumerics",
    "EnsureShape",
    "ReadVariableOp",
}
# What is written over an input of the same size that is read no more: `forward_input_or_allocate_output` in kernels.
_IN_PLACE = {
    *("Add", "AddV2", "AddN", "Sub", "Mul", "RealDiv", "Neg", "Square", "Sqrt", "Rsqrt", "Exp", "Log", "Maximum"),
    *("Minimum", "SquaredDifference", "Relu", "Relu6", "ReluGrad", "Relu6Grad", "Sigmoid", "SigmoidGrad", "Tanh"),
    *("TanhGrad", "Softmax", "LogSoftmax", "BiasAdd", "DivNoNan", "Elu", "EluGrad", "LeakyRelu", "LeakyReluGrad"),
    *("Softplus", "SoftplusGrad", "Abs", "Sign", "Log1p", "Expm1", "Pow", "Selu", "SeluGrad", "LogicalAnd"),
}


@dataclasses.dataclass(frozen=True)
class Peak:
    """Attributes: bytes: held at the fullest moment; largest: the largest tensor then; shape: of that one."""

    bytes: int
    largest: int
    shape: tuple[int, ...]


def peak(function) -> Peak:
    """The memory of one call of a concrete function, without its arguments and variables."""
    return _peak(function.graph, {})


def _peak(graph, known: dict[str, Peak]) -> Peak:
    operations = graph.get_operations()
    last: dict[str, int] = {}
    # Tensor -> the tensor whose memory it is.
    owner: dict[str, str] = {}
    kept = {tensor.name for tensor in graph.outputs}
    for number, op in enumerate(operations):
        for tensor in op.inputs:
            last[owner.get(tensor.name, tensor.name)] = number
        if op.type in _VIEWS:
            for before, after in zip(op.inputs, op.outputs, strict=False):
                owner[after.name] = owner.get(before.name, before.name)
        for tensor in op.outputs:
            last.setdefault(owner.get(tensor.name, tensor.name), number)
    kept |= {owner[i] for i in kept if i in owner}
    return _simulated(operations, last, owner, kept, lambda op: _inside(op, known))


def _simulated(operations, last: dict, owner: dict, kept: set, inside: Callable) -> Peak:
    held: dict[str, int] = {}
    ends: dict[int, list[str]] = {}
    now = most = largest = 0
    shape: tuple[int, ...] = ()

    def hold(key: str, size: int, until: int) -> None:
        held[key] = size
        if key not in kept:
            ends.setdefault(until, []).append(key)

    for number, op in enumerate(operations):
        if op.type not in _VIEWS and op.type not in ("Placeholder", "Const"):
            free = [
                key
                for tensor in op.inputs
                if op.type in _IN_PLACE
                and last[key := owner.get(tensor.name, tensor.name)] == number
                and key in held
                and key not in kept
            ]
            for tensor in op.outputs:
                size, key = _size(tensor), tensor.name
                taken = next((k for k in free if held[k] == size), None)
                if taken is not None:
                    # The input's memory goes on as the output's.
                    free.remove(taken)
                    held[taken] = 0
                else:
                    now += size
                hold(key, size, last[key])
                if size > largest:
                    largest, shape = size, tuple(tensor.shape)
            within = inside(op)
            most = max(most, now + (within.bytes if within else 0))
        for key in ends.pop(number, ()):
            now -= held.pop(key)
    return Peak(most, largest, shape)


def _size(tensor) -> int:
    """Bytes; 0 of handles and text. A side that is not known counts as one."""
    if not (tensor.dtype.is_floating or tensor.dtype.is_integer or tensor.dtype.is_bool or tensor.dtype.is_complex):
        return 0
    if tensor.shape.rank is None:
        return 0
    return tensor.dtype.size * math.prod(side or 1 for side in tensor.shape)


def _inside(op, known: dict[str, Peak]) -> Peak | None:
    """Of an operation that calls functions (a branch, a loop, a compiled part) the fullest of these."""
    names = [name for key in ("f", "then_branch", "else_branch", "body", "cond") for name in _functions(op, key)]
    found = []
    for name in names:
        if name not in known:
            # Not public: the functions that a graph holds are reached by name through the graph alone.
            function = op.graph._get_function(name) if hasattr(op.graph, "_get_function") else None
            graph = getattr(function, "graph", None)
            known[name] = _peak(graph, known) if graph is not None and hasattr(graph, "outputs") else Peak(0, 0, ())
        found.append(known[name])
    return max(found, key=lambda tensor: tensor.bytes) if found else None


def _functions(op, key: str) -> Iterable[str]:
    try:
        value = op.get_attr(key)
    except ValueError:
        return []
    return [value.name] if hasattr(value, "name") else []


def bytes_of(variables: Iterable[tf.Variable]) -> int:
    """What variables hold on one device."""
    return sum(math.prod(v.shape) * tf.as_dtype(v.dtype).size for v in variables)
