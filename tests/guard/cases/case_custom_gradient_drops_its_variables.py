"""A custom gradient with variables returns None for each of them."""

import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "custom_gradient_none",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": ["inside"],
    "healthy_variables": ["before"],
    "accept_markers": ["ALSO"],
}


def build():
    r = np.random.RandomState(84)
    before = tf.Variable(r.randn(4, 3).astype("float32"), name="before")
    inside = tf.Variable(r.randn(3, 3).astype("float32"), name="inside")
    x = tf.constant(r.rand(5, 4), tf.float32)

    @tf.custom_gradient
    def block(t):
        out = tf.tanh(t @ inside)

        def grad(upstream, variables=None):
            return upstream * (1.0 - tf.square(out)) @ tf.transpose(inside), [None] * len(variables)  # ALSO

        return out, grad

    def forward_loss():
        return tf.reduce_mean(tf.square(block(x @ before) - 0.5))  # HERE

    return forward_loss, [before, inside]
