"""The discriminator's step on real images is differentiated with respect to both networks."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "not_used",
    "op_type": None,
    "line_marker": None,
    "none_variables": ["g_dense"],
    "healthy_variables": ["d_dense"],
}


def build():
    r = np.random.RandomState(65)
    gen = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(4, name="g_dense")])
    disc = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1, name="d_dense")])
    real = r.rand(6, 4).astype("float32")
    return (lambda: tf.reduce_mean(tf.nn.softplus(-disc(real)))), gen.trainable_variables + disc.trainable_variables
