"""Losses of Keras's inside a step: on N replicas they divide their mean by N, and so does the step, once for all."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import tensorflow as tf

# Replicas of a MirroredStrategy are traced in threads of their own.
_thread = threading.local()


@contextlib.contextmanager
def undivided() -> Iterator[None]:
    """Inside, in this thread, a `keras.losses.Loss` gives the mean of what it is called with, as on one replica.

    A term is the mean over a replica's share of the batch, whoever computes it; Keras gives that mean divided by the
    number of replicas where it is of several values, and undivided where it is of one.
    """
    if tf.distribute.get_strategy().num_replicas_in_sync > 1:
        _install()
    before = getattr(_thread, "undivided", False)
    _thread.undivided = True
    try:
        yield
    finally:
        _thread.undivided = before


def _install() -> None:
    """Puts a switch before Keras's division, which outside of `undivided` is as it was. Keras has no public one."""
    from keras.src.losses import loss as module

    divide = module.scale_loss_for_distribution
    if getattr(divide, "is_switch", False):
        return

    def scale_loss_for_distribution(value):
        return value if getattr(_thread, "undivided", False) else divide(value)

    scale_loss_for_distribution.is_switch = True
    module.scale_loss_for_distribution = scale_loss_for_distribution
