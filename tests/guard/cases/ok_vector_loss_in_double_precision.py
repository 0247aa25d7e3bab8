"""The loss has one value an example, everything is float64, and one variable is listed twice."""

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
    r = np.random.RandomState(360)
    w = tf.Variable(r.randn(4, 2), name="w")
    x, y = tf.constant(r.rand(5, 4)), tf.constant(r.rand(5, 2))
    return (lambda: tf.reduce_sum(tf.square(x @ w - y), -1)), [w, w]
