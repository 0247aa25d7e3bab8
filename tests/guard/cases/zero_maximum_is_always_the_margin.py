"""A constant joined to the scores always wins the maximum: concat only hands on the zeros that Max makes."""

import tensorflow as tf

EXPECT = {
    "cause": "zero_gradient",
    "op_type": "Max",
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": ["offset"],
    "zero_variables": ["scores"],
}


def build():
    scores, offset = tf.Variable([0.1, 0.2], name="scores"), tf.Variable(0.5, name="offset")

    def forward_loss():
        candidates = tf.concat([scores, [10.0]], axis=0)
        hardest = tf.reduce_max(candidates)  # HERE
        return tf.square(hardest + offset)

    return forward_loss, [scores, offset]
