"""A focal loss with gamma 0.5: (1 - p) ** 0.5 has an infinite slope at p = 1."""

import tensorflow as tf

EXPECT = {
    "cause": "nan_gradient",
    "op_type": "Pow",
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": [],
    "nan_variables": "all",
}


def build():
    w = tf.Variable([40.0, 35.0], name="w")
    x = tf.constant([[1.0, 0.5], [0.5, 1.0]])

    def forward_loss():
        p = tf.sigmoid(tf.linalg.matvec(x, w))
        weight = (1.0 - p) ** 0.5  # HERE
        return -tf.reduce_mean(weight * tf.math.log(p))

    return forward_loss, [w]
