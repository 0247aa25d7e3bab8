"""keras.layers.Discretization in the middle of a network."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": ["before"],
    "healthy_variables": ["after"],
    "accept_causes": ["left_tensorflow", "integer_cast"],
}


class Net(keras.Model):
    def __init__(self):
        super().__init__()
        self.before = keras.layers.Dense(3, name="before")
        self.bins = keras.layers.Discretization([-0.5, 0.0, 0.5])
        self.after = keras.layers.Dense(1, name="after")

    def call(self, x):
        level = self.bins(self.before(x))  # HERE
        return self.after(tf.cast(level, tf.float32))


def build():
    r = np.random.RandomState(322)
    x = r.randn(5, 4).astype("float32")
    model = Net()
    model(x)
    return (lambda: tf.reduce_mean(tf.square(model(x) - 1.0))), model.trainable_variables
