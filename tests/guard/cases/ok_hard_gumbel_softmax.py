"""Straight-through Gumbel-softmax: one_hot(argmax) forward, the soft sample backward."""

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
    r = np.random.RandomState(205)
    enc = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3, name="enc")])
    dec = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(4, name="dec")])
    x = r.rand(6, 4).astype("float32")

    def forward_loss():
        noise = -tf.math.log(-tf.math.log(tf.random.uniform([6, 3], 1e-6, 1.0 - 1e-6)))
        soft = tf.nn.softmax((enc(x) + noise) / 0.7)
        hard = tf.one_hot(tf.argmax(soft, -1), 3)
        return tf.reduce_mean(tf.square(dec(tf.stop_gradient(hard - soft) + soft) - x))

    return forward_loss, enc.trainable_variables + dec.trainable_variables
