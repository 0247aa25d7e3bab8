"""The last layer has a ReLU, and starts below zero for every example."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "zero_gradient",
    "op_type": "Relu",
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": [],
    "zero_variables": "all",
}


def build():
    r = np.random.RandomState(415)
    model = keras.Sequential(
        [
            keras.layers.Input((4,)),
            keras.layers.Dense(3, "relu", name="body"),
            keras.layers.Dense(1, "relu", bias_initializer=keras.initializers.Constant(-9.0), name="answer"),  # HERE
        ]
    )
    x, y = r.rand(5, 4).astype("float32"), r.rand(5, 1).astype("float32")
    return (lambda: tf.reduce_mean(tf.square(model(x, training=True) - y))), model.trainable_variables
