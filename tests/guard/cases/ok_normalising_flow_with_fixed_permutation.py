"""An affine flow: gather with a constant permutation, log-determinant, and Gaussian likelihood."""

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
    r = np.random.RandomState(433)
    net = keras.Sequential(
        [keras.layers.Input((2,)), keras.layers.Dense(5, "tanh", name="f1"), keras.layers.Dense(4, name="f2")]
    )
    x, order = tf.constant(r.rand(6, 4), tf.float32), tf.constant([2, 0, 3, 1])

    def forward_loss():
        mixed = tf.gather(x, order, axis=1)
        keep, change = tf.split(mixed, 2, axis=1)
        shift, log_scale = tf.split(net(keep), 2, axis=1)
        z = tf.concat([keep, change * tf.exp(log_scale) + shift], 1)
        return tf.reduce_mean(0.5 * tf.reduce_sum(tf.square(z), 1) - tf.reduce_sum(log_scale, 1))

    return forward_loss, net.trainable_variables
