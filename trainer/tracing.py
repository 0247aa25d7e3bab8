"""Functions that a run compiles once for itself, however many runs a process has."""

from __future__ import annotations

import functools
from collections.abc import Callable

import tensorflow as tf


def traced(function: Callable, **options) -> Callable:
    """`tf.function(function, **options)`, whose traces TensorFlow counts by themselves.

    It counts them by the function's code, and so calls the fifth run, evaluation or prediction of a process a function
    that is "retraced too often"; a partial has no code.
    """
    return tf.function(functools.partial(function), **options)
