"""Batch normalisation in training mode over a batch of one: its output is beta, whatever comes in."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "zero_gradient",
    "op_type": None,
    "line_marker": None,
    "none_variables": [],
    "healthy_variables": ["beta", "after"],
    "zero_variables": ["before", "gamma"],
}


def build():
    r = np.random.RandomState(342)
    model = keras.Sequential(
        [
            keras.layers.Input((4,)),
            keras.layers.Dense(3, name="before"),
            keras.layers.BatchNormalization(beta_initializer="ones", name="bn"),
            keras.layers.Dense(1, name="after"),
        ]
    )
    x = r.rand(1, 4).astype("float32")
    return (lambda: tf.reduce_mean(tf.square(model(x, training=True) - 3.0))), model.trainable_variables
