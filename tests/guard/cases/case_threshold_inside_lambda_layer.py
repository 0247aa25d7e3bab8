"""A Lambda layer of a functional model binarises the features."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "Greater",
    "line_marker": "HERE",
    "none_variables": ["features"],
    "healthy_variables": ["head"],
}


def binarise(t):
    return tf.where(t > 0.0, tf.ones_like(t), tf.zeros_like(t))  # HERE


def build():
    r = np.random.RandomState(6)
    inp = keras.Input((4,))
    h = keras.layers.Dense(6, name="features")(inp)
    h = keras.layers.Lambda(binarise)(h)
    model = keras.Model(inp, keras.layers.Dense(1, name="head")(h))
    x, y = r.randn(6, 4).astype("float32"), r.rand(6, 1).astype("float32")
    return (lambda: tf.reduce_mean(tf.square(model(x) - y))), model.trainable_variables
