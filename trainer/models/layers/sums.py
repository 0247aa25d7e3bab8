"""Sums over an image's pixels that do not drift."""

from __future__ import annotations

import tensorflow as tf


def sum_over_space(x: tf.Tensor) -> tf.Tensor:
    """`[batch, *space, channels]` to float64 `[batch, channels]`: rows in float32, since a long sum drifts."""
    rank = x.shape.rank
    return tf.reduce_sum(tf.cast(tf.reduce_sum(x, axis=rank - 2), tf.float64), axis=list(range(1, rank - 2)))
