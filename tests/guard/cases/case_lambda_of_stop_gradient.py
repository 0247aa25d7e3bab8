"""keras.layers.Lambda(tf.stop_gradient) between trunk and head."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "stop_gradient",
    "op_type": "StopGradient",
    "line_marker": None,
    "none_variables": ["trunk"],
    "healthy_variables": ["head"],
}


def build():
    r = np.random.RandomState(309)
    model = keras.Sequential(
        [
            keras.layers.Input((4,)),
            keras.layers.Dense(5, "tanh", name="trunk"),
            keras.layers.Lambda(tf.stop_gradient),
            keras.layers.Dense(1, name="head"),
        ]
    )
    x, y = r.rand(3, 4).astype("float32"), r.rand(3, 1).astype("float32")
    return (lambda: tf.reduce_mean(tf.square(model(x) - y))), model.trainable_variables
