"""A probability of 1e-9 is zero in float16, and so is all that is multiplied with it."""

import tensorflow as tf

EXPECT = {
    "cause": "zero_gradient",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": ["v"],
    "zero_variables": ["w"],
    "accept_markers": ["ALSO"],
}


def build():
    w, v = tf.Variable([1.0, 2.0], name="w"), tf.Variable(2.0, name="v")

    def forward_loss():
        small = tf.cast(w * 1e-9, tf.float16)  # HERE
        term = tf.reduce_sum(small * small)  # ALSO
        return tf.cast(term, tf.float32) + tf.square(v)

    return forward_loss, [w, v]
