"""A Gaussian encoder returns mean and log-variance; the second is unpacked into an underscore."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "not_used",
    "op_type": None,
    "line_marker": None,
    "none_variables": ["log_var"],
    "healthy_variables": ["trunk", "mean", "decoder"],
}


def build():
    r = np.random.RandomState(62)
    inp = keras.Input((4,))
    h = keras.layers.Dense(5, "tanh", name="trunk")(inp)
    enc = keras.Model(inp, [keras.layers.Dense(2, name="mean")(h), keras.layers.Dense(2, name="log_var")(h)])
    dec = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(4, name="decoder")])
    x = r.rand(6, 4).astype("float32")

    def forward_loss():
        mean, _ = enc(x)
        return tf.reduce_mean(tf.square(dec(mean) - x))

    return forward_loss, enc.trainable_variables + dec.trainable_variables
