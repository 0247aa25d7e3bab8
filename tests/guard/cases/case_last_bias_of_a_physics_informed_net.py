"""A physics-informed loss uses only the derivative of the network; its last bias has no part in that."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "not_used",
    "op_type": None,
    "line_marker": None,
    "none_variables": ["p2/bias"],
    "healthy_variables": ["p1", "p2/kernel"],
}


def build():
    r = np.random.RandomState(300)
    net = keras.Sequential(
        [keras.layers.Input((1,)), keras.layers.Dense(5, "tanh", name="p1"), keras.layers.Dense(1, name="p2")]
    )
    t = tf.constant(r.rand(8, 1), tf.float32)

    def forward_loss():
        with tf.GradientTape() as inner:
            inner.watch(t)
            u = net(t)
        slope = inner.gradient(u, t)
        return tf.reduce_mean(tf.square(slope - tf.cos(t)))

    return forward_loss, net.trainable_variables
