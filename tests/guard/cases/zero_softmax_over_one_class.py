"""Dense(1, softmax) for a binary problem: the output is always 1."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "zero_gradient",
    "op_type": "Softmax",
    "line_marker": None,
    "none_variables": [],
    "healthy_variables": [],
    "zero_variables": "all",
}


def build():
    r = np.random.RandomState(111)
    model = keras.Sequential(
        [
            keras.layers.Input((4,)),
            keras.layers.Dense(5, "tanh", name="hid"),
            keras.layers.Dense(1, "softmax", name="out"),
        ]
    )
    x, y = r.rand(6, 4).astype("float32"), (r.rand(6, 1) > 0.5).astype("float32")
    return (lambda: tf.reduce_mean(tf.square(model(x) - y))), model.trainable_variables
