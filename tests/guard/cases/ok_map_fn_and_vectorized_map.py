"""tf.map_fn and tf.vectorized_map over the batch."""

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
    r = np.random.RandomState(213)
    w, b = tf.Variable(r.randn(3, 2).astype("float32"), name="w"), tf.Variable([0.1, 0.2], name="b")
    x = tf.constant(r.rand(4, 3), tf.float32)

    def forward_loss():
        one = tf.map_fn(lambda row: tf.tanh(tf.linalg.matvec(w, row, transpose_a=True)), x)
        two = tf.vectorized_map(lambda row: tf.sigmoid(row + b), one)
        return tf.reduce_mean(tf.square(two - 0.3))

    return forward_loss, [w, b]
