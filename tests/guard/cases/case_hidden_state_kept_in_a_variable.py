"""A stateful cell writes its hidden state into a variable, and the head reads the variable."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "stateful_assign",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": ["cell"],
    "healthy_variables": ["head"],
    "accept_markers": ["ALSO"],
}


class Stateful(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.cell = keras.layers.Dense(3, "tanh", name="cell")
        self.head = keras.layers.Dense(1, name="head")
        self.state = tf.Variable(tf.ones([2, 3]), trainable=False, name="state")

    def call(self, x):
        self.state.assign(self.cell(tf.concat([x, self.state], -1)))  # HERE
        return self.head(self.state)  # ALSO


def build():
    r = np.random.RandomState(86)
    x = r.rand(2, 4).astype("float32")
    layer = Stateful()
    layer(x)
    return (lambda: tf.reduce_mean(tf.square(layer(x) - 1.0))), layer.trainable_variables
