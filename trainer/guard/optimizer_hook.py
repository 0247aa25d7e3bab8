"""A user's own training step, checked where it passes gradients to an optimizer; it may have several tapes and
optimizers."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

from .capture.escapes import replaced
from .capture.owners import handles_of
from .capture.recorder import reads
from .traced_step import check_traced
from .words.finding import Report


@dataclasses.dataclass(frozen=True)
class _Call:
    """One call of `tape.gradient`."""

    target: Any
    sources: list
    answers: list
    watched: tuple


@contextlib.contextmanager
def checked_steps(found: Callable[[Report], None]) -> Iterator[None]:
    """While a step is traced, checks each list of gradients that reaches a Keras optimizer's `apply`.

    Gradients that no optimizer gets (for a gradient penalty, an explanation map) are not checked.

    Args:
      found: called with the report of each such list, before the optimizer.
    """
    calls: list[_Call] = []
    gradient, apply = tf.GradientTape.gradient, keras.optimizers.Optimizer.apply

    def answering(tape, target, sources, *args, **kwargs):
        answers = gradient(tape, target, sources, *args, **kwargs)
        pairs = tf.nest.flatten(sources), tf.nest.flatten(answers)
        if len(pairs[0]) == len(pairs[1]):
            calls.append(_Call(target, *pairs, tape.watched_variables()))
        return answers

    def applying(optimizer, grads, trainable_variables=None):
        variables = trainable_variables if trainable_variables is not None else optimizer._trainable_variables
        call = _behind(calls, grads, variables)
        if call is not None:
            found(
                check_traced(
                    call.target,
                    call.sources,
                    call.answers,
                    watched=call.watched,
                    reads=seen,
                    missing="warn",
                    warn=lambda report: None,
                )
            )
        return apply(optimizer, grads, trainable_variables)

    with (
        reads() as seen,
        replaced(tf.GradientTape, "gradient", answering),
        replaced(keras.optimizers.Optimizer, "apply", applying),
    ):
        yield


def _behind(calls: Sequence[_Call], grads: Sequence, variables: Sequence) -> _Call | None:
    """The last call of `tape.gradient` for these very variables; None where their gradients came another way."""
    wanted = [handles_of(variable) for variable in variables]
    lacking = any(gradient is None for gradient in grads)
    for call in reversed(calls):
        same = [handles_of(source) for source in call.sources if hasattr(source, "assign")] == wanted
        if same and lacking == any(answer is None for answer in call.answers):
            return call
    return None
