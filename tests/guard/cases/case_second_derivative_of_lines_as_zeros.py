"""A heat equation over a net without activations, whose second derivative is asked for with zeros in place of None."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "constant_loss",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "graph": "zero",
}


def build():
    net = keras.Sequential(
        [keras.layers.Input((1,)), keras.layers.Dense(8, name="l1"), keras.layers.Dense(1, name="l2")]
    )
    t = tf.constant(np.linspace(0, 1, 7)[:, None], tf.float32)

    def forward_loss():
        with tf.GradientTape() as second:
            second.watch(t)
            with tf.GradientTape() as first:
                first.watch(t)
                u = net(t)
            du = first.gradient(u, t)
        ddu = second.gradient(du, t, unconnected_gradients="zero")  # HERE
        return tf.reduce_mean((ddu + 1.0) ** 2)

    return forward_loss, net.trainable_variables
