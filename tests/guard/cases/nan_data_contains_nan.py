"""The images themselves contain a NaN."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "nan_gradient",
    "op_type": None,
    "line_marker": None,
    "none_variables": [],
    "healthy_variables": [],
    "nan_variables": "all",
}


def build():
    r = np.random.RandomState(133)
    model = keras.Sequential(
        [keras.layers.Input((4,)), keras.layers.Dense(3, name="a"), keras.layers.Dense(1, name="b")]
    )
    x, y = r.rand(5, 4).astype("float32"), r.rand(5, 1).astype("float32")
    x[2, 1] = np.nan
    return (lambda: tf.reduce_mean(tf.square(model(x) - y))), model.trainable_variables
