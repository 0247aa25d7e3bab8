"""A temperature is a tf.Variable with trainable=False, and is expected to learn."""

import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "not_trainable",
    "op_type": None,
    "line_marker": None,
    "none_variables": ["temperature"],
    "healthy_variables": ["w"],
}


def build():
    r = np.random.RandomState(72)
    w = tf.Variable(r.randn(4, 3).astype("float32"), name="w")
    temperature = tf.Variable(2.0, trainable=False, name="temperature")
    x = tf.constant(r.rand(5, 4), tf.float32)
    return (lambda: -tf.reduce_mean(tf.nn.log_softmax(x @ w / temperature)[:, 0])), [w, temperature]
