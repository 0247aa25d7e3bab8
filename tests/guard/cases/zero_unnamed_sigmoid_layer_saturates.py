"""Inputs of a thousand saturate the sigmoid of a layer that has no name of its own."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "zero_gradient",
    "op_type": "Sigmoid",
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": [],
    "zero_variables": "all",
}


def build():
    r = np.random.RandomState(416)
    inputs = keras.Input((4,))
    hidden = keras.layers.Dense(6, activation="sigmoid", kernel_initializer="ones")(inputs)  # HERE
    model = keras.Model(inputs, keras.layers.Dense(2)(hidden))
    x, y = (r.rand(5, 4) * 1000 + 500).astype("float32"), r.rand(5, 2).astype("float32")
    return (lambda: tf.reduce_mean(tf.square(model(x, training=True) - y))), model.trainable_variables[:2]
