"""keras.layers.SpectralNormalization assigns its vector and stops gradients inside."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": None,
    "op_type": None,
    "line_marker": None,
    "none_variables": [],
    "healthy_variables": "all",
}


def build():
    r = np.random.RandomState(227)
    model = keras.Sequential(
        [
            keras.layers.Input((4,)),
            keras.layers.SpectralNormalization(keras.layers.Dense(5, "tanh", name="sn")),
            keras.layers.Dense(1, name="out"),
        ]
    )
    x, y = r.rand(5, 4).astype("float32"), r.rand(5, 1).astype("float32")
    return (lambda: tf.reduce_mean(tf.square(model(x, training=True) - y))), model.trainable_variables
