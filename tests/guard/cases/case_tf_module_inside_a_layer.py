"""A tf.Module with its own variables is an attribute of a Keras layer: Keras 3 does not look into it."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "untracked_variable",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": ["out"],
    "untracked_variables": ["rotation"],
    "accept_markers": ["ALSO"],
}


class Rotation(tf.Module):
    def __init__(self):
        super().__init__()
        self.matrix = tf.Variable(tf.eye(4) + 0.1, name="rotation")  # ALSO

    def __call__(self, x):
        return tf.matmul(x, self.matrix)  # HERE


class Rotate(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.rotation = Rotation()

    def call(self, x):
        return self.rotation(x)


def build():
    r = np.random.RandomState(77)
    model = keras.Sequential([keras.layers.Input((4,)), Rotate(), keras.layers.Dense(1, name="out")])
    x, y = r.rand(5, 4).astype("float32"), r.rand(5, 1).astype("float32")
    return (lambda: tf.reduce_mean(tf.square(model(x) - y))), model.trainable_variables
