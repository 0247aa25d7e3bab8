"""tf.norm of weights that start at zero, as a penalty."""

import tensorflow as tf

EXPECT = {
    "cause": "nan_gradient",
    "op_type": "Sqrt",
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": ["v"],
    "nan_variables": ["w"],
}


def build():
    w, v = tf.Variable(tf.zeros([4, 3]), name="w"), tf.Variable(tf.ones([3]), name="v")

    def forward_loss():
        penalty = tf.norm(w)  # HERE
        return penalty + tf.reduce_sum(tf.square(v))

    return forward_loss, [w, v]
