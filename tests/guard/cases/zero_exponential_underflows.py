"""A Gaussian kernel with a tiny width underflows to zero everywhere."""

import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "zero_gradient",
    "op_type": "Exp",
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": [],
    "zero_variables": "all",
}


def build():
    r = np.random.RandomState(117)
    centres = tf.Variable(r.rand(3).astype("float32") + 5.0, name="centres")
    x = tf.constant(r.rand(6, 1), tf.float32)

    def forward_loss():
        activation = tf.exp(-tf.square(x - centres) / 0.001)  # HERE
        return tf.reduce_mean(tf.square(tf.reduce_sum(activation, -1) - 1.0))

    return forward_loss, [centres]
