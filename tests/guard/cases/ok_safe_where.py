"""The double-where: a safe denominator first, then the choice."""

import tensorflow as tf

EXPECT = {
    "cause": None,
    "op_type": None,
    "line_marker": None,
    "none_variables": [],
    "healthy_variables": "all",
}


def build():
    w = tf.Variable([2.0, 3.0], name="w")
    x = tf.constant([0.0, 4.0])

    def forward_loss():
        safe = tf.where(x > 0.0, x * w, 1.0)
        return tf.reduce_sum(tf.where(x > 0.0, 1.0 / safe, 0.0)) + tf.reduce_sum(tf.square(w))

    return forward_loss, [w]
