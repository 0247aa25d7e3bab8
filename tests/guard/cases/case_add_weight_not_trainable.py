"""A custom layer adds its weight with trainable=False, copied from a batch-norm example."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "not_trainable",
    "op_type": None,
    "line_marker": None,
    "none_variables": ["scale"],
    "healthy_variables": ["out"],
}


class Scale(keras.layers.Layer):
    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones", trainable=False, name="scale")

    def call(self, x):
        return x * self.scale


def build():
    r = np.random.RandomState(73)
    model = keras.Sequential([keras.layers.Input((4,)), Scale(), keras.layers.Dense(1, name="out")])
    x, y = r.rand(5, 4).astype("float32"), r.rand(5, 1).astype("float32")
    return (lambda: tf.reduce_mean(tf.square(model(x) - y))), model.weights
