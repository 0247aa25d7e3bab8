"""One term is clipped for this batch, and another one trains the same variables."""

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
    r = np.random.RandomState(426)
    net = keras.layers.Dense(2, name="net")
    net.build((None, 3))
    x, y = tf.constant(r.rand(6, 3), tf.float32), tf.constant(r.rand(6, 2), tf.float32)

    def forward_loss():
        p = net(x)
        return tf.reduce_mean(tf.square(p - y)) + tf.reduce_mean(tf.minimum(tf.abs(p), 0.0))

    return forward_loss, net.trainable_variables
