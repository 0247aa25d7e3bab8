"""A Dense layer is created anew in each call: its fresh weights belong to nobody."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "untracked_variable",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": ["first"],
    "untracked_variables": ["fresh"],
    "graph": "raises:ValueError",
}


class Net(keras.Model):
    def __init__(self):
        super().__init__()
        self.first = keras.layers.Dense(3, name="first")

    def call(self, x):
        return keras.layers.Dense(1, name="fresh")(self.first(x))  # HERE


def build():
    r = np.random.RandomState(78)
    x = r.rand(5, 4).astype("float32")
    model = Net()
    model.first.build((None, 4))
    model.built = True
    return (lambda: tf.reduce_mean(tf.square(model(x) - 1.0))), model.trainable_variables
