"""A dropout rate of 0.999 on a few units drops them all with this seed."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "zero_gradient",
    "op_type": None,
    "line_marker": None,
    "none_variables": [],
    "healthy_variables": ["after/bias"],
    "zero_variables": ["before", "after/kernel"],
}


def build():
    r = np.random.RandomState(403)
    model = keras.Sequential(
        [
            keras.layers.Input((4,)),
            keras.layers.Dense(2, name="before"),
            keras.layers.Dropout(0.9999, seed=1),
            keras.layers.Dense(1, name="after"),
        ]
    )
    x = r.rand(2, 4).astype("float32")
    return (lambda: tf.reduce_mean(tf.square(model(x, training=True) - 1.0))), model.trainable_variables
