"""tf.math.reduce_euclidean_norm of an update that is zero."""

import tensorflow as tf

EXPECT = {
    "cause": "nan_gradient",
    "op_type": "EuclideanNorm",
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": ["v"],
    "nan_variables": ["w"],
}


def build():
    w, v = tf.Variable(tf.zeros([3]), name="w"), tf.Variable(2.0, name="v")

    def forward_loss():
        size = tf.math.reduce_euclidean_norm(w)  # HERE
        return size + tf.square(v)

    return forward_loss, [w, v]
