"""A plain tf.Module with its own list of variables."""

import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": None,
    "op_type": None,
    "line_marker": None,
    "none_variables": [],
    "healthy_variables": "all",
}


class Linear(tf.Module):
    def __init__(self):
        super().__init__()
        self.w = tf.Variable(tf.ones([4, 2]), name="w")
        self.b = tf.Variable(tf.zeros([2]), name="b")

    @tf.function
    def __call__(self, x):
        return tf.sigmoid(x @ self.w + self.b)


def build():
    x = tf.constant(np.random.RandomState(240).rand(5, 4), tf.float32)
    module = Linear()
    return (lambda: tf.reduce_mean(tf.square(module(x) - 0.2))), list(module.trainable_variables)
