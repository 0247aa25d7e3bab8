"""model.variables, with moving means and a seed state, is handed to the tape."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "not_trainable",
    "op_type": None,
    "line_marker": None,
    "none_variables": ["moving_mean", "moving_variance", "seed"],
    "healthy_variables": ["conv", "gamma", "beta", "out"],
    "accept_causes": ["stateful_assign", "not_used"],
}


def build():
    r = np.random.RandomState(71)
    model = keras.Sequential(
        [
            keras.layers.Input((6, 6, 1)),
            keras.layers.Conv2D(3, 3, use_bias=False, name="conv"),
            keras.layers.BatchNormalization(name="bn"),
            keras.layers.Activation("tanh"),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(1, name="out"),
        ]
    )
    x, y = r.rand(4, 6, 6, 1).astype("float32"), r.rand(4, 1).astype("float32")
    return (lambda: tf.reduce_mean(tf.square(model(x, training=True) - y))), model.variables
