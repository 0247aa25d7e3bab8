"""A triplet loss whose margin is satisfied by every triplet of the batch."""

import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "zero_gradient",
    "op_type": "Maximum",
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": [],
    "zero_variables": "all",
}


def build():
    r = np.random.RandomState(115)
    w = tf.Variable(r.randn(4, 3).astype("float32"), name="embedding")
    anchor = tf.constant(r.rand(5, 4), tf.float32)
    positive, negative = anchor + 0.01, anchor + 50.0

    def forward_loss():
        a, p, n = anchor @ w, positive @ w, negative @ w
        gap = tf.reduce_sum(tf.square(a - p), -1) - tf.reduce_sum(tf.square(a - n), -1)
        return tf.reduce_mean(tf.maximum(gap + 0.2, 0.0))  # HERE

    return forward_loss, [w]
