"""Weights are clipped by assign before they are used, as in the first Wasserstein GAN."""

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
    r = np.random.RandomState(361)
    w = tf.Variable(r.randn(4, 2).astype("float32"), name="w")
    x = tf.constant(r.rand(5, 4), tf.float32)

    def forward_loss():
        w.assign(tf.clip_by_value(w, -0.5, 0.5))
        return tf.reduce_mean(tf.square(x @ w - 1.0))

    return forward_loss, [w]
