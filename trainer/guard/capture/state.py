"""Runs the user's forward pass without leaving a trace: variables, random generators and switches are put back."""

from __future__ import annotations

import contextlib
import gc
import random
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from . import private


@contextlib.contextmanager
def preserved(variables: Sequence[tf.Variable] | None = None) -> Iterator[None]:
    """Puts every variable of the process, and the generators of random numbers, back to their former state.

    Args:
      variables: a recent result of `all_variables()`, for several runs in a row.

    Reading a variable shares its memory until it is written, so the copies cost nothing in a healthy run. What a
    forward pass does outside of TensorFlow (lists it appends to, iterators it advances) cannot be undone.
    """
    before = [(variable, _value_of(variable)) for variable in (all_variables() if variables is None else variables)]
    of_python, of_numpy = random.getstate(), np.random.get_state()
    of_tensorflow = private.generator().getstate() if private.generator() else None
    try:
        yield
    finally:
        for variable, value in before:
            if value is not None and not _same(_value_of(variable), value):
                variable.assign(value)
        random.setstate(of_python)
        np.random.set_state(of_numpy)
        if of_tensorflow and private.generator().getstate() != of_tensorflow:
            private.generator().setstate(of_tensorflow)
            private.clear_kernel_cache()


def all_variables() -> list[tf.Variable]:
    """Every variable of the process."""
    # A forward pass may assign to variables that it was never passed: running statistics, seeds, metrics.
    # A process may hold millions of objects: one look-up in a set for each, and nothing else.
    kinds = subclasses(private.BaseVariable)
    return [thing for thing in gc.get_objects() if type(thing) in kinds]


def subclasses(kind: type) -> set[type]:
    """A class and all its subclasses."""
    return {kind}.union(*map(subclasses, kind.__subclasses__()))


def _value_of(variable) -> tf.Tensor | None:
    try:
        with tf.init_scope():
            return variable.read_value() if hasattr(variable.handle, "numpy") else None
    except (tf.errors.OpError, AttributeError, ValueError, NotImplementedError):  # not initialised, or in a graph
        return None


def _same(now: tf.Tensor | None, before: tf.Tensor) -> bool:
    if now is None or now.shape != before.shape:
        return False
    return bool(tf.reduce_all(tf.equal(now, before)))
