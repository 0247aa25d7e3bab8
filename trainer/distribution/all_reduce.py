"""Sums over all replicas, from inside one of them."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf


@tf.autograph.experimental.do_not_convert
def sum_over_replicas(values: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Adds up each tensor over the replicas in one message; no gradient passes. Call in replica context.

    `ReplicaContext.all_reduce` is differentiable, for which TensorFlow walks back through the graph at every call;
    where the replicas share one graph it walks through all of them, and tracing four of them took a minute.
    """
    context = tf.distribute.get_replica_context()
    values = [tf.stop_gradient(value) for value in values]
    if context.num_replicas_in_sync == 1:
        return values
    if not isinstance(context.strategy, tf.distribute.MirroredStrategy):
        return list(context.all_reduce(tf.distribute.ReduceOp.SUM, values))

    def reduce(strategy, *each):
        return strategy.extended.batch_reduce_to(tf.distribute.ReduceOp.SUM, [(value, value) for value in each])

    return list(context.merge_call(reduce, args=tuple(values)))
