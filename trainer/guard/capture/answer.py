"""The variables as the caller listed them, and TensorFlow's own result of one plain run, before any diagnosis."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import tensorflow as tf

from ..words.finding import path_of
from .owners import handles_of
from .private import inner_variable
from .trace import key


@dataclasses.dataclass(frozen=True, eq=False)
class Entry:
    """One entry of the list of variables.

    Attributes:
      path: its name in reports.
      variable: a Keras variable, a `tf.Variable` or a tensor, as in the list.
      keys: its keys in the trace.
    """

    path: str
    variable: Any
    keys: tuple[int, ...]

    @property
    def is_tensor(self) -> bool:
        return not hasattr(self.variable, "assign")

    @property
    def dtype(self) -> tf.DType:
        return tf.as_dtype(self.variable.dtype)


def entries_of(variables: Iterable) -> list[Entry]:
    """The entries of a list, or of any nest, of variables; None and repetitions are left out.

    Raises:
      TypeError: an entry is neither a variable nor a tensor.
    """
    listed = list(variables) if not isinstance(variables, (dict, list, tuple)) and _many(variables) else variables
    found, seen = [], set()
    for index, variable in enumerate(tf.nest.flatten(listed)):
        if variable is None:
            continue
        if hasattr(variable, "assign"):
            keys = handles_of(variable)
        elif tf.is_tensor(variable) and hasattr(variable, "_id"):
            keys = (key(variable),)
        else:
            raise TypeError(
                "explain() differentiates with respect to variables and tensors.\n"
                f"Received: variables[{index}]={variable!r} (of type {type(variable).__name__})"
            )
        if not set(keys) <= seen or not keys:
            found.append(Entry(path_of(variable, index), variable, keys))
            seen.update(keys)
    return found


def _many(variables) -> bool:
    return not hasattr(variables, "assign") and not tf.is_tensor(variables)


@dataclasses.dataclass
class Answer:
    """TensorFlow's result for a loss: gradients, or the error that it raised instead.

    Only tensors made since the run began have a key above `began`.
    """

    loss: Any = None
    gradients: list[Any] | None = None
    watched: tuple = ()
    began: int = 0
    forward_error: Exception | None = None
    backward_error: Exception | None = None

    @property
    def error(self) -> Exception | None:
        return self.forward_error or self.backward_error


def plain_run(forward_loss: Callable, entries: list[Entry]) -> Answer:
    """Runs the forward pass and the backward pass as any program would."""
    answer = Answer(began=key(tf.constant(0)))
    with tf.GradientTape() as tape:
        try:
            answer.loss = forward_loss()
        except Exception as error:  # the user's code may raise anything; the report has the error
            answer.forward_error = error
            return answer
    answer.watched = tape.watched_variables()
    try:
        answer.gradients = tape.gradient(answer.loss, [_source(entry) for entry in entries])
    except Exception as error:  # LookupError, TypeError, InvalidArgumentError, … each has a cause
        answer.backward_error = error
    return answer


def _source(entry: Entry):
    return inner_variable(entry.variable)


def dense(gradient) -> tf.Tensor:
    """The numbers of a gradient, with the rows of an `IndexedSlices` as they are."""
    return gradient.values if isinstance(gradient, tf.IndexedSlices) else gradient


def is_zero(gradient) -> bool:
    """Whether all of a gradient is exactly zero."""
    return not bool(tf.reduce_any(tf.not_equal(dense(gradient), 0)))


def is_tiny(gradient) -> bool:
    """Whether a gradient is so small that it may be a zero with a rounding error."""
    return not bool(tf.reduce_any(tf.abs(dense(gradient)) > 1e-6))


def is_finite(gradient) -> bool:
    """Whether a gradient holds neither NaN nor infinity."""
    values = dense(gradient)
    if values.dtype.is_complex:
        values = tf.abs(values)
    return not values.dtype.is_floating or bool(tf.reduce_all(tf.math.is_finite(values)))
