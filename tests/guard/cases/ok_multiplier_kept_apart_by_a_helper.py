"""A Lagrange multiplier is trained by another step; a helper beside the loss reads it."""

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
    r = np.random.RandomState(423)
    net = keras.layers.Dense(1, name="net")
    net.build((None, 3))
    multiplier = tf.Variable(0.3, name="multiplier")
    x, y = tf.constant(r.rand(6, 3), tf.float32), tf.constant(r.rand(6, 1), tf.float32)

    def constraint(p):
        return tf.exp(multiplier) * tf.reduce_mean(tf.abs(p))

    def forward_loss():
        p = net(x)
        return tf.reduce_mean(tf.square(p - y)) + constraint(p)

    return forward_loss, net.trainable_variables
