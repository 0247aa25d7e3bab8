"""A strongly negative bias: the hidden ReLU is dead for every example."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "zero_gradient",
    "op_type": "Relu",
    "line_marker": None,
    "none_variables": [],
    "healthy_variables": ["out/bias"],
    "zero_variables": ["hid", "out/kernel"],
    "accept_ops": ["MatMul"],
}


def build():
    r = np.random.RandomState(110)
    model = keras.Sequential(
        [
            keras.layers.Input((4,)),
            keras.layers.Dense(6, "relu", bias_initializer=keras.initializers.Constant(-50.0), name="hid"),
            keras.layers.Dense(1, name="out"),
        ]
    )
    x, y = r.rand(5, 4).astype("float32"), r.rand(5, 1).astype("float32")
    return (lambda: tf.reduce_mean(tf.square(model(x) - y))), model.trainable_variables
