"""A loss on the magnitude of the Fourier transform."""

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
    r = np.random.RandomState(222)
    model = keras.Sequential([keras.layers.Input((8, 8, 1)), keras.layers.Conv2D(1, 3, padding="same", name="conv")])
    x, y = r.rand(2, 8, 8, 1).astype("float32"), r.rand(2, 8, 8).astype("float32")

    def forward_loss():
        a = tf.signal.fft2d(tf.cast(model(x)[..., 0], tf.complex64))
        b = tf.signal.fft2d(tf.cast(y, tf.complex64))
        return tf.reduce_mean(tf.abs(a - b))

    return forward_loss, model.trainable_variables
