"""Quantisation-aware training with fake_quant and learnt ranges."""

import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": None,
    "op_type": None,
    "line_marker": None,
    "none_variables": [],
    "healthy_variables": "all",
    "may_be_zero": ["low", "high"],
}


def build():
    r = np.random.RandomState(228)
    w = tf.Variable(r.randn(4, 3).astype("float32"), name="w")
    low, high = tf.Variable(-1.0, name="low"), tf.Variable(1.0, name="high")
    x = tf.constant(r.rand(5, 4), tf.float32)
    return (lambda: tf.reduce_mean(tf.square(x @ tf.quantization.fake_quant_with_min_max_vars(w, low, high) - 0.3))), [
        w,
        low,
        high,
    ]
