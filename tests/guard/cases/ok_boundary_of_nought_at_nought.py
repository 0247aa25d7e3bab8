"""A physics-informed net that is to be 0 at 0, and is, with biases of zero: the square is at its bottom for a step."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": None,
    "op_type": None,
    "line_marker": None,
    "none_variables": [],
    "healthy_variables": [],
    "may_be_zero": ["p2/bias"],
    "silent": True,
}


def build():
    net = keras.Sequential(
        [keras.layers.Input((1,)), keras.layers.Dense(5, "tanh", name="p1"), keras.layers.Dense(1, name="p2")]
    )
    t = tf.constant(np.linspace(0, 1, 7)[:, None], tf.float32)

    def forward_loss():
        with tf.GradientTape() as second:
            second.watch(t)
            with tf.GradientTape() as first:
                first.watch(t)
                u = net(t)
            du = first.gradient(u, t)
        ddu = second.gradient(du, t)
        return tf.reduce_mean(tf.square(ddu + 1.0)) + tf.reduce_mean(net(tf.zeros([1, 1])) ** 2)

    return forward_loss, net.trainable_variables
