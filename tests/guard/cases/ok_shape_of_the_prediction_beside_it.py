"""Sizes and zeros_like of the prediction stand beside the prediction itself."""

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
    r = np.random.RandomState(425)
    model = keras.Sequential([keras.layers.Input((4, 4, 1)), keras.layers.Conv2D(2, 3, padding="same", name="out")])
    x, y = r.rand(2, 4, 4, 1).astype("float32"), r.rand(2, 4, 4, 2).astype("float32")

    def forward_loss():
        p = model(x, training=True)
        pixels = tf.cast(tf.size(p), tf.float32) / tf.cast(tf.shape(p)[0], tf.float32)
        return tf.reduce_sum(tf.square(p - y)) / pixels + tf.reduce_sum(tf.zeros_like(p))

    return forward_loss, model.trainable_variables
