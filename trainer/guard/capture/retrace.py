"""The forward pass as a graph, for what an eager run cannot show.

A constant that Python makes is not an op in eager mode, and a tensor that NumPy copies out of memory (`buffer[i] =
tensor`) leaves no sign. In a graph the former is an op with a line of its own, and the latter makes the trace fail on
that very line.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from .frames import Site, site_of_error, site_of_operation
from .state import preserved

_NUMPY_WORDS = ("numpy", "symbolic tf.tensor", "symbolictensor", "symbolic tensor", "keras tensor")


@dataclasses.dataclass
class Retraced:
    """A traced forward pass: the loss in its graph, or the error."""

    loss: Any = None
    error: Exception | None = None

    @property
    def loss_site(self) -> Site | None:
        """The user's line that made the loss."""
        operation = self.loss.op if self.loss is not None else None
        while operation is not None:
            site = site_of_operation(operation)
            if site is not None or len(operation.inputs) != 1:
                return site
            operation = operation.inputs[0].op
        return None

    @property
    def escape_site(self) -> Site | None:
        """The user's line at which the trace failed, where a tensor was passed to Python or NumPy."""
        return site_of_error(self.error) if self.error is not None and leaves_tensorflow(self.error) else None


def retrace(forward_loss: Callable) -> Retraced:
    """Traces the forward pass as `tf.function` would, without rewriting its Python code."""
    holder = []

    def run():
        holder.append(forward_loss())
        return holder[-1]

    with preserved():
        try:
            concrete = tf.function(run, autograph=False).get_concrete_function()
        except Exception as error:  # code that only runs eagerly fails here, in its own way
            return Retraced(error=error)
    outputs = [part for part in concrete.graph.outputs if part.dtype.is_floating or part.dtype.is_integer]
    return Retraced(loss=outputs[0] if outputs else None)


def leaves_tensorflow(error: BaseException) -> bool:
    """Whether an error comes from passing a symbolic tensor to Python or NumPy."""
    if not isinstance(error, (AttributeError, NotImplementedError, TypeError, ValueError)):
        return False
    text = str(error).lower().replace("`", "")
    return any(word in text for word in _NUMPY_WORDS)
