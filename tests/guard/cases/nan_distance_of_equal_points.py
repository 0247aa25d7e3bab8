"""The Euclidean distance of two equal embeddings: the slope of sqrt at zero is infinite."""

import tensorflow as tf

EXPECT = {
    "cause": "nan_gradient",
    "op_type": "Sqrt",
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": ["bias"],
    "nan_variables": ["w"],
}


def build():
    w = tf.Variable([[1.0, 2.0], [3.0, 4.0]], name="w")
    bias = tf.Variable(0.5, name="bias")
    a = tf.constant([[1.0, 1.0], [2.0, 0.0]])
    b = tf.constant([[1.0, 1.0], [0.0, 2.0]])

    def forward_loss():
        distance = tf.sqrt(tf.reduce_sum(tf.square((a - b) @ w), axis=-1))  # HERE
        return tf.reduce_mean(distance) + tf.square(bias)

    return forward_loss, [w, bias]
