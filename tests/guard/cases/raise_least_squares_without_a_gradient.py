"""tf.linalg.lstsq(fast=False) raises ValueError when differentiated."""

import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "MatrixSolveLs",
    "line_marker": "HERE",
    "none_variables": ["w"],
    "healthy_variables": ["v"],
    "raises": "ValueError",
}


def build():
    r = np.random.RandomState(331)
    w, v = tf.Variable(r.rand(4, 3).astype("float32"), name="w"), tf.Variable(1.0, name="v")
    y = tf.constant(r.rand(4, 1), tf.float32)

    def forward_loss():
        solution = tf.linalg.lstsq(w, y, fast=False)  # HERE
        return tf.reduce_sum(tf.square(solution)) + tf.square(v)

    return forward_loss, [w, v]
