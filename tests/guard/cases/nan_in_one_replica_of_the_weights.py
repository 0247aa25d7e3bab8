"""One weight is already NaN, from an earlier step."""

import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "nan_gradient",
    "op_type": None,
    "line_marker": None,
    "none_variables": [],
    "healthy_variables": [],
    "nan_variables": "all",
}


def build():
    r = np.random.RandomState(351)
    start = r.randn(4, 3).astype("float32")
    start[1, 1] = np.nan
    w, b = tf.Variable(start, name="w"), tf.Variable(r.randn(3, 1).astype("float32"), name="b")
    x = tf.constant(r.rand(5, 4), tf.float32)
    return (lambda: tf.reduce_mean(tf.square(x @ w @ b))), [w, b]
