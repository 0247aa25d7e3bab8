"""Sums over the global batch, for losses that need them (batch Dice): over replicas, and over micro-batches.

A loss L(S) of sums S = s_1 + … + s_K over K = replicas x micro-batches has the gradient L'(S) ds_k on share k. Each
share contributes its loss divided by K, so what is put in place of s_k has the value S and the slope K:

    S + K (s_k - stop(s_k))

No gradient crosses the replicas, so the all-reduce is of a few numbers and has no backward pass. With micro-batches S
is known only after all of them: a first pass without a tape collects it, on the same dropout masks and without a trace
in batch normalisation's statistics.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from trainer.distribution.all_reduce import sum_over_replicas


class GlobalSums:
    """For one step on one replica; `replicas` and `micro_batches` are N and M."""

    def __init__(self, replicas: int, micro_batches: int):
        self._shares = replicas * micro_batches
        self._totals: list[tf.Tensor] | None = None

    def collect(self, model, objective, parts) -> None:
        """Runs the forward pass of every micro-batch to learn the totals."""
        totals: list[tf.Tensor] = []
        trainable = [v.value for v in model.trainable_variables]
        others = [v.value for v in model.non_trainable_variables]
        done: list[tf.Tensor] = []
        for part in parts:
            with tf.control_dependencies(done):
                outputs, others = model.stateless_call(trainable, others, part["image"], training=True)
            found: list[tf.Tensor] = []

            def keep(sums, found=found):
                found.append(sums)
                return sums

            objective(part["label"], outputs, keep)
            totals = [a + b for a, b in zip(totals, found, strict=True)] if totals else found
            done = found
        self._totals = [self._over_replicas(total) for total in totals]

    def next_part(self) -> Callable[[tf.Tensor], tf.Tensor]:
        """The `all_reduce` for one micro-batch's call of the loss; its calls are counted from the first."""
        totals = iter(self._totals) if self._totals is not None else None

        def all_reduce(sums):
            here = tf.stop_gradient(sums)
            total = self._over_replicas(here) if totals is None else next(totals)
            return total + self._shares * (sums - here)

        return all_reduce

    def _over_replicas(self, sums):
        return sum_over_replicas([sums])[0]
