"""forward_loss itself is a tf.function; a gate in it is a comparison."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "Less",
    "line_marker": "HERE",
    "none_variables": ["gate"],
    "healthy_variables": ["body"],
    "op_in_nested": True,
    "accept_ops": ["PartitionedCall", "StatefulPartitionedCall"],
}


def build():
    r = np.random.RandomState(312)
    gate = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1, name="gate")])
    body = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1, name="body")])
    x, y = tf.constant(r.randn(8, 4), tf.float32), tf.constant(r.rand(8, 1), tf.float32)

    @tf.function
    def forward_loss():
        closed = gate(x) < 0.0  # HERE
        out = tf.where(closed, 0.1 * body(x), body(x))
        return tf.reduce_mean(tf.square(out - y))

    return forward_loss, gate.trainable_variables + body.trainable_variables
