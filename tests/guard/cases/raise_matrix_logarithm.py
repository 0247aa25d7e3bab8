"""The matrix logarithm of a covariance has no registered gradient."""

import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "MatrixLogarithm",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "raises": "LookupError",
}


def build():
    r = np.random.RandomState(332)
    w = tf.Variable(r.rand(3, 3).astype("float32"), name="w")

    def forward_loss():
        cov = tf.cast(w @ tf.transpose(w) + tf.eye(3), tf.complex64)
        return tf.math.real(tf.linalg.trace(tf.linalg.logm(cov)))  # HERE

    return forward_loss, [w]
