"""A regression network ends in a ReLU whose input is negative for every example."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "zero_gradient",
    "op_type": "Relu",
    "line_marker": None,
    "none_variables": [],
    "healthy_variables": [],
    "zero_variables": "all",
}


def build():
    r = np.random.RandomState(401)
    model = keras.Sequential(
        [
            keras.layers.Input((4,)),
            keras.layers.Dense(5, "tanh", name="hid"),
            keras.layers.Dense(1, "relu", bias_initializer=keras.initializers.Constant(-9.0), name="out"),
        ]
    )
    x = r.rand(5, 4).astype("float32")
    return (lambda: tf.reduce_mean(tf.square(model(x) - 1.0))), model.trainable_variables
