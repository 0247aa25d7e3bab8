"""Truncated backpropagation gone wrong: the state is detached on each turn, and so is the first input."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "stop_gradient",
    "op_type": "StopGradient",
    "line_marker": "HERE",
    "none_variables": ["encoder"],
    "healthy_variables": ["w"],
    "graph": "zero",
    "op_in_nested": True,
    "accept_ops": ["While", "StatelessWhile"],
}


def build():
    r = np.random.RandomState(95)
    encoder = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3, "tanh", name="encoder")])
    w = tf.Variable(r.randn(3, 3).astype("float32"), name="w")
    x = r.rand(5, 4).astype("float32")

    def turn(i, state):
        past = tf.stop_gradient(state)  # HERE
        return i + 1, tf.tanh(past @ w)

    def forward_loss():
        _, state = tf.while_loop(lambda i, s: i < 3, turn, [tf.constant(0), encoder(x)])
        return tf.reduce_mean(tf.square(state - 0.5))

    return forward_loss, encoder.trainable_variables + [w]
