"""The angle between equal directions by acos."""

import tensorflow as tf

EXPECT = {
    "cause": "nan_gradient",
    "op_type": "Acos",
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": [],
    "nan_variables": "all",
}


def build():
    w = tf.Variable([1.0, 0.0, 0.0], name="w")
    target = tf.constant([1.0, 0.0, 0.0])

    def forward_loss():
        cosine = tf.reduce_sum(w * target)
        angle = tf.acos(cosine)  # HERE
        return tf.square(angle)

    return forward_loss, [w]
