"""A list of tf.Variable in a Keras layer is not tracked."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "untracked_variable",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": ["out"],
    "untracked_variables": ["knot0", "knot1"],
    "accept_markers": ["ALSO"],
}


class Spline(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.knots = [tf.Variable(0.5 * i + 0.5, name=f"knot{i}") for i in range(2)]  # ALSO

    def call(self, x):
        return self.knots[0] * x + self.knots[1] * tf.square(x)  # HERE


def build():
    r = np.random.RandomState(75)
    model = keras.Sequential([keras.layers.Input((4,)), Spline(), keras.layers.Dense(1, name="out")])
    x, y = r.rand(5, 4).astype("float32"), r.rand(5, 1).astype("float32")
    return (lambda: tf.reduce_mean(tf.square(model(x) - y))), model.trainable_variables
