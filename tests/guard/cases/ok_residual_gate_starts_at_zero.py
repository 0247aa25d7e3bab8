"""ReZero: a residual gate starts at zero, so the branch gets a gradient of zero in the first step, as meant."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": None,
    "op_type": None,
    "line_marker": None,
    "none_variables": [],
    "healthy_variables": "all",
    "may_be_zero": ["branch"],
}


def build():
    r = np.random.RandomState(233)
    branch = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(4, "tanh", name="branch")])
    head = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1, name="head")])
    gate = tf.Variable(0.0, name="gate")
    x, y = tf.constant(r.rand(5, 4), tf.float32), r.rand(5, 1).astype("float32")
    return (
        lambda: tf.reduce_mean(tf.square(head(x + gate * branch(x)) - y))
    ), branch.trainable_variables + head.trainable_variables + [gate]
