"""The cut is three plain Python calls deep; the innermost line is the one to change."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "Rint",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "accept_ops": ["Round"],
}


def snap(t):
    return tf.math.rint(t)  # HERE


def discretise(t, levels):
    return snap(t * levels) / levels


def rate(t):
    return tf.reduce_mean(tf.abs(discretise(t, 16.0)))


def build():
    r = np.random.RandomState(41)
    enc = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3, name="enc")])
    x = r.rand(5, 4).astype("float32")
    return (lambda: rate(enc(x))), enc.trainable_variables
