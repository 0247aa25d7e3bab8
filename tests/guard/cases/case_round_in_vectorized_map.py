"""tf.vectorized_map applies a function that rounds."""

import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "Round",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "op_in_nested": True,
    "accept_ops": ["PartitionedCall", "StatefulPartitionedCall"],
}


def snap(row):
    return tf.round(row * 4.0) / 4.0  # HERE


def build():
    r = np.random.RandomState(311)
    w = tf.Variable(r.randn(4, 3).astype("float32"), name="w")
    x = tf.constant(r.rand(5, 4), tf.float32)
    return (lambda: tf.reduce_mean(tf.square(tf.vectorized_map(snap, x @ w) - 0.5))), [w]
