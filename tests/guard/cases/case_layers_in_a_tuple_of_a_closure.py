"""A factory function returns a closure over layers; the model calls the closure."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "untracked_variable",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": ["seen"],
    "untracked_variables": ["closed_over"],
    "accept_markers": ["ALSO"],
}


def make_block():
    dense = keras.layers.Dense(4, "tanh", name="closed_over")

    def block(x):
        return dense(x) + x  # HERE

    return block


class Net(keras.Model):
    def __init__(self):
        super().__init__()
        self.block = make_block()
        self.out = keras.layers.Dense(1, name="seen")

    def call(self, x):
        return self.out(self.block(x))  # ALSO


def build():
    r = np.random.RandomState(79)
    x = r.rand(5, 4).astype("float32")
    model = Net()
    model(x)
    return (lambda: tf.reduce_mean(tf.square(model(x) - 1.0))), model.trainable_variables
