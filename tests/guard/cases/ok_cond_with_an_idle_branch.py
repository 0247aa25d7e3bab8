"""tf.cond whose other branch does not use the variables; the branch taken does."""

import tensorflow as tf

EXPECT = {
    "cause": None,
    "op_type": None,
    "line_marker": None,
    "none_variables": [],
    "healthy_variables": "all",
}


def build():
    w, b = tf.Variable([2.0, 3.0], name="w"), tf.Variable(0.5, name="b")
    warm = tf.Variable(True, trainable=False, dtype=tf.bool, name="warm")

    def forward_loss():
        extra = tf.cond(warm, lambda: tf.reduce_sum(tf.square(w)), lambda: tf.constant(0.0))
        return extra + tf.square(b - 1.0) + tf.reduce_sum(w)

    return forward_loss, [w, b]
