"""Attention picks one position with one_hot(argmax): the scores get nothing, the values do."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "ArgMax",
    "line_marker": "HERE",
    "none_variables": ["query", "key"],
    "healthy_variables": ["value"],
    "accept_ops": ["OneHot"],
}


class HardAttention(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.q = keras.layers.Dense(4, name="query")
        self.k = keras.layers.Dense(4, name="key")
        self.v = keras.layers.Dense(4, name="value")

    def call(self, x):
        scores = tf.matmul(self.q(x), self.k(x), transpose_b=True)
        weights = tf.one_hot(tf.argmax(scores, axis=-1), tf.shape(x)[1])  # HERE
        return tf.matmul(weights, self.v(x))


def build():
    r = np.random.RandomState(15)
    x, y = r.rand(2, 5, 3).astype("float32"), r.rand(2, 5, 4).astype("float32")
    layer = HardAttention()
    layer(x)
    return (lambda: tf.reduce_mean(tf.square(layer(x) - y))), layer.trainable_variables
