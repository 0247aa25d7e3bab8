"""One example of a tf.map_fn normalises by its own norm, which is zero."""

import tensorflow as tf

EXPECT = {
    "cause": "nan_gradient",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": ["v"],
    "nan_variables": ["w"],
    "op_in_nested": True,
    "accept_markers": ["ALSO"],
}


def unit(row):
    return row / tf.norm(row)  # HERE


def build():
    w, v = tf.Variable([[1.0, 2.0], [0.5, 0.1]], name="w"), tf.Variable(1.5, name="v")
    x = tf.constant([[1.0, 1.0], [0.0, 0.0]])

    def forward_loss():
        return tf.reduce_sum(tf.map_fn(unit, x @ w)) + tf.square(v)  # ALSO

    return forward_loss, [w, v]
