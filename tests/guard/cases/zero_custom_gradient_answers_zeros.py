"""A custom gradient answers tf.zeros_like(upstream)."""

import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "zero_gradient",
    "op_type": "IdentityN",
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": ["after"],
    "zero_variables": ["before"],
    "accept_markers": ["ALSO"],
    "accept_ops": ["ZerosLike"],
}


@tf.custom_gradient
def reverse(x):
    def grad(upstream):
        return tf.zeros_like(upstream)  # ALSO

    return tf.identity(x), grad


def build():
    r = np.random.RandomState(119)
    before = tf.Variable(r.randn(4, 3).astype("float32"), name="before")
    after = tf.Variable(r.randn(3, 1).astype("float32"), name="after")
    x = tf.constant(r.rand(5, 4), tf.float32)

    def forward_loss():
        h = reverse(x @ before)  # HERE
        return tf.reduce_mean(tf.square(h @ after - 1.0))

    return forward_loss, [before, after]
