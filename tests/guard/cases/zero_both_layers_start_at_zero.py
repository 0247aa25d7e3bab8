"""Both factors of a product start at zero, so neither gets a gradient."""

import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "zero_gradient",
    "op_type": "MatMul",
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": [],
    "zero_variables": "all",
}


def build():
    r = np.random.RandomState(116)
    down = tf.Variable(tf.zeros([4, 2]), name="down")
    up = tf.Variable(tf.zeros([2, 3]), name="up")
    x, y = tf.constant(r.rand(5, 4), tf.float32), tf.constant(r.rand(5, 3), tf.float32)

    def forward_loss():
        low = (x @ down) @ up  # HERE
        return tf.reduce_mean(tf.square(low - y))

    return forward_loss, [down, up]
