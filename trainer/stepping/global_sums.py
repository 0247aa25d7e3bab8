"""Sums over the global batch, for losses that need them (batch Dice): over replicas, and over micro-batches.

A loss L(S) of sums S = s_1 + … + s_K over K = replicas x micro-batches has the gradient L'(S) ds_k on share k. Each
share contributes its loss divided by K, so what is put in place of s_k has the value S and the slope K:

    S + K (s_k - stop(s_k))

No gradient crosses the replicas, so the all-reduce is of a few numbers and has no backward pass. With micro-batches S
is known only after all of them: a first pass without a tape collects it, on the same dropout masks and without a trace
in batch normalisation's statistics.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence

import keras
import tensorflow as tf

from trainer.distribution.all_reduce import sum_over_replicas

AllReduce = Callable[[tf.Tensor], tf.Tensor]

# Replicas of a MirroredStrategy are traced in threads of their own.
_thread = threading.local()


def global_sum(values: tf.Tensor) -> tf.Tensor:
    """The sum of a share's values over the global batch, with the gradient that it has there.

    Call it in a loss or a task on sums over the batch, before any division or other nonlinear step, so that the loss
    means the same on any number of replicas and micro-batches. Where the batch is not divided it returns `values`.

        overlap = global_sum(tf.reduce_sum(y_true * y_pred))
        sizes = global_sum(tf.reduce_sum(y_true) + tf.reduce_sum(y_pred))
        return 1.0 - 2.0 * overlap / sizes

    Args:
      values: a tensor of any shape, the same on all shares. Every call is made on every share, in the same order.

    Returns:
      A tensor of the shape of `values`.
    """
    all_reduce = current()
    return values if all_reduce is None else all_reduce(tf.convert_to_tensor(values))


def current() -> AllReduce | None:
    """What `global_sum` calls inside a step; None where the batch is not divided."""
    return getattr(_thread, "all_reduce", None)


@contextlib.contextmanager
def offered(all_reduce: AllReduce | None) -> Iterator[None]:
    """Makes `global_sum` call `all_reduce` while a share's loss is computed."""
    before = current()
    _thread.all_reduce = all_reduce
    try:
        yield
    finally:
        _thread.all_reduce = before


class GlobalSums:
    """The sums of one update on one replica; `replicas` and `micro_batches` are N and M."""

    def __init__(self, replicas: int, micro_batches: int):
        self._replicas, self._shares = replicas, replicas * micro_batches
        self._totals: list[tf.Tensor] | None = None if micro_batches == 1 else []

    def collect(self, losses: Callable, written: Sequence[keras.Variable], parts: Sequence[Mapping]) -> None:
        """Runs the forward pass of every micro-batch to collect the totals; stops at once where nothing is summed.

        Args:
          losses: called with a micro-batch.
          written: variables that the forward pass writes; they get their values back.
          parts: the micro-batches.
        """
        totals: list[tf.Tensor] = []
        values = [(v, v.value) for v in written]
        done: list[tf.Tensor] = []
        for part in parts:
            found: list[tf.Tensor] = []

            def keep(sums, found=found):
                found.append(sums)
                return sums

            with tf.control_dependencies(done), keras.StatelessScope(state_mapping=values) as scope, offered(keep):
                losses(part)
            if not found:
                return
            written_here = [scope.get_current_value(v) for v, _ in values]
            values = [(v, old if new is None else new) for (v, old), new in zip(values, written_here, strict=True)]
            totals = [a + b for a, b in zip(totals, found, strict=True)] if totals else found
            done = found
        self._totals = [self._over_replicas(total) for total in totals]

    def next_part(self) -> AllReduce | None:
        """The `all_reduce` for the next micro-batch; None where the batch is not divided."""
        if self._shares == 1:
            return None
        totals = None if self._totals is None else iter(self._totals)

        def all_reduce(sums):
            here = tf.stop_gradient(sums)
            total = self._over_replicas(here) if totals is None else next(totals)
            return total + self._shares * (sums - here)

        return all_reduce

    def _over_replicas(self, sums):
        return sum_over_replicas([sums])[0]
