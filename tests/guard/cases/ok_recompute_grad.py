"""Gradient checkpointing with tf.recompute_grad around a block."""

import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": None,
    "op_type": None,
    "line_marker": None,
    "none_variables": [],
    "healthy_variables": "all",
}


def build():
    r = np.random.RandomState(206)
    a = tf.Variable(r.randn(4, 4).astype("float32"), name="a")
    b = tf.Variable(r.randn(4, 2).astype("float32"), name="b")
    x = tf.constant(r.rand(5, 4), tf.float32)

    @tf.recompute_grad
    def block(h):
        return tf.tanh(tf.tanh(h @ a) @ a)

    return (lambda: tf.reduce_mean(tf.square(block(x) @ b - 0.5))), [a, b]
