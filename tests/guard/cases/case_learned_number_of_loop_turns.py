"""A learnt halting score decides how often a loop turns; the count carries no gradient."""

import tensorflow as tf

EXPECT = {
    "cause": "integer_cast",
    "op_type": "Cast",
    "line_marker": "HERE",
    "none_variables": ["turns"],
    "healthy_variables": ["w"],
    "accept_causes": ["non_differentiable_op"],
}


def build():
    turns = tf.Variable(2.7, name="turns")
    w = tf.Variable([0.5, 0.4], name="w")

    def forward_loss():
        n = tf.cast(turns, tf.int32)  # HERE
        _, s = tf.while_loop(
            lambda i, s: i < n, lambda i, s: (i + 1, tf.tanh(s * w + 0.1)), [tf.constant(0), tf.ones([2])]
        )
        return tf.reduce_sum(tf.square(s - tf.cast(n, tf.float32)))

    return forward_loss, [turns, w]
