"""Who reads a variable, and who could have listed it: the layers and modules whose methods were running."""

from __future__ import annotations

import dataclasses
import sys
from types import FrameType
from typing import Any

import keras
import tensorflow as tf

from .frames import is_user_file
from .layers import in_functional_model
from .private import FuncGraph, inner_variable
from .trace import Op, key

_HOLDERS = (keras.Layer, keras.losses.Loss, keras.metrics.Metric, tf.Module)


# What a model does around its forward pass: variables read there (a teacher's, say) are no part of its computation.
_AROUND = frozenset({"compute_loss", "train_step", "test_step", "fit"})


@dataclasses.dataclass(frozen=True)
class Read:
    """An op that touched a resource, and the objects that ran it.

    Attributes:
      op: the op.
      holders: the layers and modules whose methods were running, outermost first.
      factories: functions that have returned, and left the variable in the closure of a running function, so that
        nobody else can refer to it.
      functional: whether a functional model was running its graph, so that the nearest line only calls the model.
    """

    op: Op
    holders: tuple[Any, ...]
    factories: tuple[str, ...] = ()
    functional: bool = False

    @property
    def handles(self) -> tuple[int, ...]:
        return tuple(key(t) for t in self.op.inputs if t.dtype == tf.resource)


def read_of(op: Op) -> Read:
    """Looks up the Python stack for objects with variables to train (`self` of a Layer or tf.Module), and closures."""
    holders: list[Any] = []
    closures: list[str] = []
    running: list[str] = []
    wanted = {key(outermost(tensor)) for tensor in op.inputs if tensor.dtype == tf.resource}
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if code.co_argcount and code.co_varnames[0] == "self" and code.co_name not in _AROUND:
            owner = frame.f_locals.get("self")
            if isinstance(owner, _HOLDERS) and not any(owner is known for known in holders):
                holders.append(owner)
        name = getattr(code, "co_qualname", "")  # from Python 3.11 on
        if is_user_file(code.co_filename):
            running.append(name)
            scope, inside, _ = name.rpartition(".<locals>.")
            free = [frame.f_locals.get(cell) for cell in code.co_freevars] if inside else ()
            if any(hasattr(value, "assign") and wanted & set(handles_of(value)) for value in free):
                closures.append(scope)
        frame = frame.f_back
    return Read(
        op,
        tuple(reversed(holders)),
        tuple(scope for scope in closures if scope not in running),
        in_functional_model(sys._getframe(1)),
    )


def outermost(tensor: tf.Tensor) -> tf.Tensor:
    """The tensor, outside of all functions being traced, for which a graph's captured placeholder stands."""
    graph = getattr(tensor, "graph", None) if not hasattr(tensor, "numpy") else None
    while isinstance(graph, FuncGraph):
        outer = next((outside for outside, inside in graph.captures if inside is tensor), None)
        if outer is None:
            break
        tensor = outer
        graph = getattr(tensor, "graph", None) if not hasattr(tensor, "numpy") else None
    return tensor


def handles_of(variable) -> tuple[int, ...]:
    """Keys of a variable's resource handles: one for a plain variable, one a replica for a mirrored one."""
    variable = inner_variable(variable)
    parts = getattr(variable, "values", None)
    parts = parts if isinstance(parts, (list, tuple)) else [variable]
    return tuple(key(part.handle) for part in parts if hasattr(part, "handle"))


def trainable_at_heart(variable) -> bool:
    """Whether a tape watches the variable by itself; Keras's own `trainable` can be toggled and does not show it."""
    return bool(getattr(inner_variable(variable), "trainable", True))


def variables_of(holder) -> tuple[Any, ...]:
    """All variables that a layer or module lists."""
    try:
        return tuple(holder.variables)
    except (AttributeError, RuntimeError, ValueError):  # a half-built layer
        return ()


def trainable_of(holder) -> tuple[Any, ...]:
    """The variables that a layer or module would pass to an optimizer."""
    try:
        return tuple(holder.trainable_variables)
    except (AttributeError, RuntimeError, ValueError):
        return ()
