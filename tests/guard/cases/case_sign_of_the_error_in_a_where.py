"""Pinball loss whose quantile is learned through a comparison alone."""

import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "Greater",
    "line_marker": "HERE",
    "none_variables": ["level"],
    "healthy_variables": ["w"],
    "accept_ops": ["GreaterEqual"],
}


def build():
    r = np.random.RandomState(429)
    w = tf.Variable(r.randn(3, 1).astype("float32"), name="w")
    level = tf.Variable(0.3, name="level")
    x, y = tf.constant(r.rand(8, 3), tf.float32), tf.constant(r.rand(8, 1), tf.float32)

    def forward_loss():
        error = y - x @ w
        return tf.reduce_mean(tf.where(error > level, 0.9 * error, -0.1 * error))  # HERE

    return forward_loss, [w, level]
