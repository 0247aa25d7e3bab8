"""Sums over an image's pixels that do not drift."""

from __future__ import annotations

import tensorflow as tf


def sum_over_space(x: tf.Tensor) -> tf.Tensor:
    """`[batch, height, width, channels]` to float64 `[batch, channels]`: rows in float32, since a long sum drifts."""
    return tf.reduce_sum(tf.cast(tf.reduce_sum(x, axis=2), tf.float64), axis=1)
