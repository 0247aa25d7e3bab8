"""A keras.Variable in a plain Python object that a layer holds."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "untracked_variable",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": ["out"],
    "untracked_variables": ["hidden_scale"],
}


class Settings:
    def __init__(self):
        self.scale = keras.Variable(1.5, name="hidden_scale")


class Scaled(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.settings = Settings()

    def call(self, x):
        return x * self.settings.scale  # HERE


def build():
    r = np.random.RandomState(428)
    model = keras.Sequential([keras.layers.Input((4,)), Scaled(), keras.layers.Dense(1, name="out")])
    x, y = r.rand(5, 4).astype("float32"), r.rand(5, 1).astype("float32")
    return (lambda: tf.reduce_mean(tf.square(model(x) - y))), model.trainable_variables
