"""An orientation field is regressed with atan2, and a background pixel is (0, 0)."""

import tensorflow as tf

EXPECT = {
    "cause": "nan_gradient",
    "op_type": "Atan2",
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": ["v"],
    "nan_variables": ["w"],
}


def build():
    w, v = tf.Variable([[1.0, 2.0], [3.0, 4.0]], name="w"), tf.Variable(2.0, name="v")
    x = tf.constant([[1.0, 0.5], [0.0, 0.0]])

    def forward_loss():
        field = x @ w
        angle = tf.atan2(field[:, 1], field[:, 0])  # HERE
        return tf.reduce_mean(tf.square(angle)) + tf.square(v)

    return forward_loss, [w, v]
