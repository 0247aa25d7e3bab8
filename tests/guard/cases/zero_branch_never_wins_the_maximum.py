"""Maxout of two branches, one of which is always smaller."""

import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "zero_gradient",
    "op_type": "Maximum",
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": ["large"],
    "zero_variables": ["small"],
}


def build():
    r = np.random.RandomState(341)
    small, large = (
        tf.Variable(-5.0 - r.rand(4, 3).astype("float32"), name="small"),
        tf.Variable(5.0 + r.rand(4, 3).astype("float32"), name="large"),
    )
    x = tf.constant(r.rand(5, 4) + 0.1, tf.float32)

    def forward_loss():
        h = tf.maximum(x @ small, x @ large)  # HERE
        return tf.reduce_mean(tf.square(h - 1.0))

    return forward_loss, [small, large]
