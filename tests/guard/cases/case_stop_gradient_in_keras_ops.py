"""keras.ops.stop_gradient in a custom layer detaches the backbone's features."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "stop_gradient",
    "op_type": "StopGradient",
    "line_marker": "HERE",
    "none_variables": ["backbone"],
    "healthy_variables": ["head"],
}


class Detach(keras.layers.Layer):
    def call(self, x):
        return keras.ops.stop_gradient(x)  # HERE


def build():
    r = np.random.RandomState(91)
    model = keras.Sequential(
        [
            keras.layers.Input((4,)),
            keras.layers.Dense(5, "relu", name="backbone"),
            Detach(),
            keras.layers.Dense(1, name="head"),
        ]
    )
    x, y = r.rand(5, 4).astype("float32"), r.rand(5, 1).astype("float32")
    return (lambda: tf.reduce_mean(tf.square(model(x) - y))), model.trainable_variables
