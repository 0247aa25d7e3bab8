"""Contrastive loss on a shared encoder, with a hinge that some pairs satisfy."""

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
    r = np.random.RandomState(224)
    enc = keras.Sequential(
        [
            keras.layers.Input((4,)),
            keras.layers.Dense(5, "tanh", name="e1"),
            keras.layers.Dense(2, name="e2", bias_initializer="ones"),
        ]
    )
    a, b, same = (
        r.rand(6, 4).astype("float32"),
        r.rand(6, 4).astype("float32"),
        tf.constant([1.0, 0.0, 1.0, 0.0, 0.0, 1.0]),
    )

    def forward_loss():
        d = tf.reduce_sum(tf.square(enc(a) - tf.tanh(enc(b))), -1)
        return tf.reduce_mean(same * d + (1.0 - same) * tf.maximum(2.0 - d, 0.0))

    return forward_loss, enc.trainable_variables
