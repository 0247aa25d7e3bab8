"""The bits of a float are read as an integer to drop its mantissa."""

import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "Bitcast",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "accept_causes": ["integer_cast"],
}


def build():
    w = tf.Variable([0.7, 1.3, 2.9], name="w")

    def forward_loss():
        bits = tf.bitcast(w * 2.0, tf.int32)  # HERE
        power = tf.bitcast(tf.bitwise.bitwise_and(bits, -8388608), tf.float32)
        return tf.reduce_sum(tf.square(power - 1.0))

    return forward_loss, [w]
