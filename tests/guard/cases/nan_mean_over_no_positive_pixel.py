"""The mean over the positive pixels of a batch without any: 0 / 0 by hand."""

import tensorflow as tf

EXPECT = {
    "cause": "nan_gradient",
    "op_type": "RealDiv",
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": ["v"],
    "nan_variables": ["w"],
    "accept_ops": ["Mul"],
}


def build():
    w, v = tf.Variable([0.2, 0.4], name="w"), tf.Variable(1.5, name="v")
    positive = tf.constant([0.0, 0.0])

    def forward_loss():
        mean = tf.reduce_sum(w * positive) / tf.reduce_sum(positive)  # HERE
        return mean + tf.square(v)

    return forward_loss, [w, v]
