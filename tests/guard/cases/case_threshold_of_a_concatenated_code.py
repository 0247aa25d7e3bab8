"""Two encoders meet in a concatenation; one of them is thresholded before."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "GreaterEqual",
    "line_marker": "HERE",
    "none_variables": ["enc_b"],
    "healthy_variables": ["enc_a", "dec"],
}


def build():
    r = np.random.RandomState(324)
    enc_a, enc_b = keras.layers.Dense(3, name="enc_a"), keras.layers.Dense(3, name="enc_b")
    dec = keras.layers.Dense(4, name="dec")
    x = tf.constant(r.randn(6, 4), tf.float32)

    def forward_loss():
        bits = tf.cast(enc_b(x) >= 0.0, tf.float32)  # HERE
        return tf.reduce_mean(tf.square(dec(tf.concat([enc_a(x), bits], -1)) - x))

    forward_loss()
    return forward_loss, enc_a.trainable_variables + enc_b.trainable_variables + dec.trainable_variables
