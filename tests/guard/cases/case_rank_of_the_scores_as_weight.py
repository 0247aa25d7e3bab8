"""A term is weighted with ones_like of itself instead of with itself."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "OnesLike",
    "line_marker": "HERE",
    "none_variables": ["gate"],
    "healthy_variables": ["head"],
    "accept_causes": ["not_used"],
}


def build():
    r = np.random.RandomState(405)
    gate, head = keras.layers.Dense(3, "sigmoid", name="gate"), keras.layers.Dense(3, name="head")
    x, y = tf.constant(r.rand(5, 4), tf.float32), tf.constant(r.rand(5, 3), tf.float32)
    gate.build((None, 4)), head.build((None, 4))

    def forward_loss():
        weight = tf.ones_like(gate(x))  # HERE
        return tf.reduce_mean(weight * tf.square(head(x) - y))

    return forward_loss, gate.trainable_variables + head.trainable_variables
