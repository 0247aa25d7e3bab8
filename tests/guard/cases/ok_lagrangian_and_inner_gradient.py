"""A physics-informed loss with boundary term: the last bias learns through it."""

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
    r = np.random.RandomState(365)
    net = keras.Sequential(
        [keras.layers.Input((1,)), keras.layers.Dense(5, "tanh", name="p1"), keras.layers.Dense(1, name="p2")]
    )
    t = tf.constant(r.rand(8, 1), tf.float32)

    def forward_loss():
        with tf.GradientTape() as second:
            second.watch(t)
            with tf.GradientTape() as first:
                first.watch(t)
                u = net(t)
            du = first.gradient(u, t)
        ddu = second.gradient(du, t)
        return tf.reduce_mean(tf.square(ddu + u)) + tf.square(net(tf.zeros([1, 1]))[0, 0] - 1.0)

    return forward_loss, net.trainable_variables
