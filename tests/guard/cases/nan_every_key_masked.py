"""Attention where one row masks all keys with -inf."""

import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "nan_gradient",
    "op_type": "Softmax",
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": ["out"],
    "nan_variables": ["query"],
    "accept_ops": ["Sub", "SelectV2", "AddV2", "Mul"],
    "accept_markers": ["ALSO"],
}


def build():
    r = np.random.RandomState(134)
    query = tf.Variable(r.randn(3, 3).astype("float32"), name="query")
    out = tf.Variable(0.5, name="out")
    x = tf.constant(r.rand(1, 4, 3), tf.float32)
    mask = tf.constant([[[0.0] * 4, [0.0, -np.inf, 0.0, 0.0], [-np.inf] * 4, [0.0] * 4]], tf.float32)

    def forward_loss():
        scores = tf.matmul(x @ query, x, transpose_b=True) + mask  # ALSO
        weights = tf.nn.softmax(scores)  # HERE
        return tf.reduce_mean(tf.matmul(weights, x)) + tf.square(out)

    return forward_loss, [query, out]
