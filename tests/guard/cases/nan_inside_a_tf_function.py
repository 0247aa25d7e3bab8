"""The logarithm of zero inside a helper that is a tf.function."""

import tensorflow as tf

EXPECT = {
    "cause": "nan_gradient",
    "op_type": "Log",
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": [],
    "nan_variables": "all",
    "op_in_nested": True,
    "accept_ops": ["PartitionedCall", "StatefulPartitionedCall"],
}


@tf.function
def entropy(p):
    return -tf.reduce_sum(p * tf.math.log(p))  # HERE


def build():
    w = tf.Variable([[0.0, 200.0]], name="w")
    return (lambda: entropy(tf.nn.softmax(w))), [w]
