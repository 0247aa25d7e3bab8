"""The imaginary part of a real number cast to complex."""

import tensorflow as tf

EXPECT = {
    "cause": "zero_gradient",
    "op_type": "Cast",
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": ["v"],
    "zero_variables": ["w"],
    "accept_ops": ["Imag"],
    "accept_markers": ["ALSO"],
}


def build():
    w, v = tf.Variable([1.0, 2.0], name="w"), tf.Variable(3.0, name="v")

    def forward_loss():
        spectrum = tf.cast(w * 2.0, tf.complex64)  # HERE
        phase = tf.math.imag(spectrum)  # ALSO
        return tf.reduce_sum(phase) + tf.square(v)

    return forward_loss, [w, v]
