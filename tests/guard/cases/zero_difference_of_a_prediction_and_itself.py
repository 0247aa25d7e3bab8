"""The second view is the first one by mistake, under a margin."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "zero_gradient",
    "op_type": "Sub",
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": [],
    "zero_variables": "all",
}


def build():
    r = np.random.RandomState(419)
    net = keras.layers.Dense(3, "tanh", name="net")
    net.build((None, 4))
    x = tf.constant(r.rand(5, 4), tf.float32)

    def forward_loss():
        one = net(x)
        other = one
        apart = tf.exp(one - other)  # HERE
        return tf.reduce_mean(tf.minimum(apart, tf.clip_by_value(apart, 0.5, 2.0)))

    return forward_loss, net.trainable_variables
