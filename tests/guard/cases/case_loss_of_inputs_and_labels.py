"""An autoencoder loss compares the input with the label, not the output."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "constant_loss",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "accept_causes": ["not_used"],
}


def build():
    r = np.random.RandomState(80)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(4, name="auto")])
    x = r.rand(5, 4).astype("float32")
    noisy = x + 0.1 * r.randn(5, 4).astype("float32")

    def forward_loss():
        model(noisy, training=True)
        return tf.reduce_mean(tf.square(noisy - x))  # HERE

    return forward_loss, model.trainable_variables
