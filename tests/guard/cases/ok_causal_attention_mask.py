"""Causal attention with a boolean mask and tf.where(-1e9)."""

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
    r = np.random.RandomState(212)
    q, v = (
        tf.Variable(r.randn(3, 3).astype("float32"), name="q"),
        tf.Variable(r.randn(3, 3).astype("float32"), name="v"),
    )
    x = tf.constant(r.rand(2, 4, 3), tf.float32)

    def forward_loss():
        scores = tf.matmul(x @ q, x, transpose_b=True)
        allowed = tf.range(4)[:, None] >= tf.range(4)[None]
        weights = tf.nn.softmax(tf.where(allowed, scores, -1e9))
        return tf.reduce_mean(tf.square(weights @ (x @ v) - 0.5))

    return forward_loss, [q, v]
