"""A loss in units of a millionth: small numbers, and every variable learns."""

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
    r = np.random.RandomState(424)
    model = keras.Sequential(
        [keras.layers.Input((3,)), keras.layers.Dense(4, "tanh", name="a"), keras.layers.Dense(1, name="b")]
    )
    x, y = r.rand(6, 3).astype("float32"), r.rand(6, 1).astype("float32")
    return (lambda: 1e-10 * tf.reduce_mean(tf.square(model(x, training=True) - y)) + 1.0), model.trainable_variables
