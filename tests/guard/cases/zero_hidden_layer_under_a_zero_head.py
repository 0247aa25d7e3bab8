"""All kernels start at zero: the hidden layer gets nothing, the head learns through its bias only."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "zero_gradient",
    "op_type": None,
    "line_marker": None,
    "none_variables": [],
    "healthy_variables": ["out/bias"],
    "zero_variables": ["hid", "out/kernel"],
}


def build():
    r = np.random.RandomState(400)
    model = keras.Sequential(
        [
            keras.layers.Input((4,)),
            keras.layers.Dense(5, "tanh", kernel_initializer="zeros", name="hid"),
            keras.layers.Dense(1, kernel_initializer="zeros", name="out"),
        ]
    )
    x = r.rand(5, 4).astype("float32")
    return (lambda: tf.reduce_mean(tf.square(model(x) - 1.0))), model.trainable_variables
