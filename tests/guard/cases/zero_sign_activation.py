"""A binarised network with tf.sign as the activation, without a straight-through estimator."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "zero_gradient",
    "op_type": "Sign",
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": ["second"],
    "zero_variables": ["first"],
}


class Binary(keras.layers.Layer):
    def call(self, x):
        return tf.sign(x)  # HERE


def build():
    r = np.random.RandomState(121)
    model = keras.Sequential(
        [keras.layers.Input((4,)), keras.layers.Dense(6, name="first"), Binary(), keras.layers.Dense(1, name="second")]
    )
    x, y = r.randn(5, 4).astype("float32"), r.rand(5, 1).astype("float32")
    return (lambda: tf.reduce_mean(tf.square(model(x) - y))), model.trainable_variables
