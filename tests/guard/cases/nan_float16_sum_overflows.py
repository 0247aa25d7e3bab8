"""The sum over a mask in float16 passes 65504."""

import tensorflow as tf

EXPECT = {
    "cause": "nan_gradient",
    "op_type": "Sum",
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": ["v"],
    "nan_variables": ["w"],
    "accept_ops": ["Mean", "RealDiv"],
    "accept_markers": ["ALSO"],
}


def build():
    w, v = tf.Variable(3.0, name="w"), tf.Variable(1.0, name="v")
    x = tf.ones([2, 128, 128, 1], tf.float16)

    def forward_loss():
        p = tf.cast(w, tf.float16) * x
        total = tf.reduce_sum(p)  # HERE
        ratio = tf.reduce_sum(p * p) / total  # ALSO
        return tf.cast(ratio, tf.float32) + tf.square(v)

    return forward_loss, [w, v]
