"""A bilinear custom gradient answers None for its second input."""

import tensorflow as tf

EXPECT = {
    "cause": "custom_gradient_none",
    "op_type": "IdentityN",
    "line_marker": "HERE",
    "none_variables": ["right"],
    "healthy_variables": ["left"],
    "accept_markers": ["ALSO"],
}


@tf.custom_gradient
def product(a, b):
    def grad(upstream):
        return upstream * b, None  # ALSO

    return a * b, grad


def build():
    left, right = tf.Variable([1.0, 2.0], name="left"), tf.Variable([3.0, 4.0], name="right")

    def forward_loss():
        joint = product(left * 1.0, right * 1.0)  # HERE
        return tf.reduce_sum(tf.square(joint))

    return forward_loss, [left, right]
