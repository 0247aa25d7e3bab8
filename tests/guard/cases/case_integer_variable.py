"""The start value was written without a decimal point, so the variable is an integer."""

import tensorflow as tf

EXPECT = {
    "cause": "not_trainable",
    "op_type": None,
    "line_marker": None,
    "none_variables": ["start"],
    "healthy_variables": ["slope"],
    "accept_causes": ["integer_cast"],
    "accept_markers": ["ALSO"],
}


def build():
    start = tf.Variable([1, 2, 3], name="start")
    slope = tf.Variable(0.5, name="slope")

    def forward_loss():
        return tf.reduce_sum(tf.square(tf.cast(start, tf.float32) * slope - 1.0))  # ALSO

    return forward_loss, [start, slope]
