"""Survival as a cumulative product with a factor of zero: TensorFlow's gradient of cumprod copes."""

import tensorflow as tf

EXPECT = {
    "cause": None,
    "op_type": None,
    "line_marker": None,
    "none_variables": [],
    "healthy_variables": "all",
}


def build():
    hazard = tf.Variable([0.2, 1.0, 0.3], name="hazard")
    return (lambda: tf.reduce_sum(tf.math.cumprod(1.0 - hazard))), [hazard]
