"""A custom gradient that clips what it passes on."""

import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": None,
    "op_type": None,
    "line_marker": None,
    "none_variables": [],
    "healthy_variables": "all",
}


@tf.custom_gradient
def clip_backward(x):
    return tf.identity(x), lambda upstream: tf.clip_by_norm(upstream, 0.5)


def build():
    r = np.random.RandomState(215)
    a, b = (
        tf.Variable(r.randn(4, 3).astype("float32"), name="a"),
        tf.Variable(r.randn(3, 1).astype("float32"), name="b"),
    )
    x = tf.constant(r.rand(5, 4), tf.float32)
    return (lambda: tf.reduce_mean(tf.square(clip_backward(x @ a) @ b - 1.0))), [a, b]
