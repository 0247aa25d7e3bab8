"""Two tf.Variables are trained in turns: in this phase only one of them is in the list."""

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
    r = np.random.RandomState(235)
    u, v = (
        tf.Variable(r.randn(4, 2).astype("float32"), name="u"),
        tf.Variable(r.randn(2, 3).astype("float32"), name="v"),
    )
    target = tf.constant(r.rand(4, 3), tf.float32)
    return (lambda: tf.reduce_mean(tf.square(u @ v - target))), [u]
