"""A layer at module level is called in call(), and belongs to no model."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "untracked_variable",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": ["own"],
    "untracked_variables": ["shared_global"],
}


class Net(keras.Model):
    def __init__(self):
        super().__init__()
        self.own = keras.layers.Dense(1, name="own")

    def call(self, x):
        return self.own(SHARED[0](x))  # HERE


SHARED = []


def build():
    r = np.random.RandomState(314)
    SHARED[:] = [keras.layers.Dense(4, "tanh", name="shared_global")]
    x = r.rand(5, 4).astype("float32")
    model = Net()
    model(x)
    return (lambda: tf.reduce_mean(tf.square(model(x) - 1.0))), model.trainable_variables
