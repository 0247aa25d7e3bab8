"""Routing by labels with dynamic_partition and dynamic_stitch."""

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
    r = np.random.RandomState(220)
    a, b = (
        tf.Variable(r.randn(3, 2).astype("float32"), name="a"),
        tf.Variable(r.randn(3, 2).astype("float32"), name="b"),
    )
    x, route = tf.constant(r.rand(6, 3), tf.float32), tf.constant([0, 1, 0, 1, 1, 0])

    def forward_loss():
        parts = tf.dynamic_partition(x, route, 2)
        places = tf.dynamic_partition(tf.range(6), route, 2)
        out = tf.dynamic_stitch(places, [parts[0] @ a, tf.tanh(parts[1] @ b)])
        return tf.reduce_mean(tf.square(out - 0.5))

    return forward_loss, [a, b]
