"""Targets in SI units: the square of 1e25 is infinite in float32."""

import tensorflow as tf

EXPECT = {
    "cause": "nan_gradient",
    "op_type": "Square",
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": [],
    "nan_variables": "all",
}


def build():
    w = tf.Variable([1e25, 2e25], name="w")

    def forward_loss():
        error = tf.square(w - 1.0)  # HERE
        return tf.reduce_max(error / tf.reduce_sum(error))

    return forward_loss, [w]
