"""Repeated squaring in tf.while_loop overflows after a few turns."""

import tensorflow as tf

EXPECT = {
    "cause": "nan_gradient",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": [],
    "nan_variables": "all",
    "op_in_nested": True,
    "accept_markers": ["ALSO"],
}


def build():
    w = tf.Variable([30.0, 50.0], name="w")

    def turn(i, s):
        return i + 1, tf.square(s) * w  # HERE

    def forward_loss():
        _, s = tf.while_loop(lambda i, s: i < 8, turn, [tf.constant(0), w * 1.0])  # ALSO
        return tf.reduce_mean(s)

    return forward_loss, [w]
