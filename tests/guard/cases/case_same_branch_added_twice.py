"""A typing slip: the first branch is added to itself, the second is dropped."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "not_used",
    "op_type": None,
    "line_marker": None,
    "none_variables": ["right"],
    "healthy_variables": ["left", "out"],
}


class Net(keras.Model):
    def __init__(self):
        super().__init__()
        self.left = keras.layers.Dense(3, "tanh", name="left")
        self.right = keras.layers.Dense(3, "tanh", name="right")
        self.out = keras.layers.Dense(1, name="out")

    def call(self, x):
        a, _ = self.left(x), self.right(x)
        return self.out(a + a)


def build():
    r = np.random.RandomState(316)
    x = r.rand(5, 4).astype("float32")
    model = Net()
    model(x)
    return (lambda: tf.reduce_mean(tf.square(model(x) - 1.0))), model.trainable_variables
