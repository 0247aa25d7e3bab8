"""The generator's step reads the discriminator, whose trainable variables are rightly not in the list."""

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
    r = np.random.RandomState(200)
    gen = keras.Sequential(
        [keras.layers.Input((2,)), keras.layers.Dense(6, "tanh", name="g1"), keras.layers.Dense(4, name="g2")]
    )
    disc = keras.Sequential(
        [keras.layers.Input((4,)), keras.layers.Dense(5, "tanh", name="d1"), keras.layers.Dense(1, name="d2")]
    )
    z = r.randn(6, 2).astype("float32")
    return (
        lambda: tf.reduce_mean(tf.nn.softplus(-disc(gen(z, training=True), training=True)))
    ), gen.trainable_variables
