"""Siamese distance of two branches with one kernel; a third, spare branch is computed and dropped."""

import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "not_used",
    "op_type": None,
    "line_marker": None,
    "none_variables": ["spare"],
    "healthy_variables": ["kernel"],
}


def build():
    r = np.random.RandomState(67)
    kernel = tf.Variable(r.randn(4, 3).astype("float32"), name="kernel")
    spare = tf.Variable(r.randn(4, 3).astype("float32"), name="spare")
    a, b = tf.constant(r.rand(5, 4), tf.float32), tf.constant(r.rand(5, 4), tf.float32)

    def forward_loss():
        left, right = tf.tanh(a @ kernel), tf.tanh(b @ kernel)
        unused = tf.tanh(a @ spare)
        tf.debugging.assert_all_finite(unused, "finite")
        return tf.reduce_mean(tf.square(left - right))

    return forward_loss, [kernel, spare]
