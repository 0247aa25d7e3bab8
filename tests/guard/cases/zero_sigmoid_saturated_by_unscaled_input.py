"""Pixels from 0 to 255 and large weights drive every sigmoid to exactly 1."""

import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "zero_gradient",
    "op_type": "Sigmoid",
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": ["out"],
    "zero_variables": ["hid"],
}


def build():
    r = np.random.RandomState(112)
    w = tf.Variable(np.abs(r.randn(4, 3)).astype("float32") + 0.5, name="hid")
    out = tf.Variable(r.randn(3, 1).astype("float32"), name="out")
    x = tf.constant(r.randint(100, 255, (5, 4)), tf.float32)

    def forward_loss():
        h = tf.sigmoid(x @ w)  # HERE
        return tf.reduce_mean(tf.square(h @ out - 0.3))

    return forward_loss, [w, out]
