"""VQ-VAE with codes updated by moving averages: the codebook is not trainable and not listed."""

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
    r = np.random.RandomState(434)
    enc = keras.Sequential([keras.layers.Input((5,)), keras.layers.Dense(3, name="enc")])
    dec = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(5, name="dec")])
    codes = tf.Variable(r.randn(6, 3).astype("float32"), trainable=False, name="codes")
    x = r.rand(8, 5).astype("float32")

    def forward_loss():
        z = enc(x)
        index = tf.argmin(tf.reduce_sum(tf.square(z[:, None] - codes[None]), -1), -1)
        q = tf.gather(codes, index)
        hits = tf.one_hot(index, 6)
        mean = tf.math.divide_no_nan(tf.matmul(hits, z, transpose_a=True), tf.reduce_sum(hits, 0)[:, None])
        used = tf.cast(tf.reduce_sum(hits, 0) > 0.0, tf.float32)[:, None]
        codes.assign(tf.where(used > 0.0, 0.9 * codes + 0.1 * mean, codes))
        return tf.reduce_mean(tf.square(dec(z + tf.stop_gradient(q - z)) - x)) + 0.25 * tf.reduce_mean(
            tf.square(z - tf.stop_gradient(q))
        )

    return forward_loss, enc.trainable_variables + dec.trainable_variables
