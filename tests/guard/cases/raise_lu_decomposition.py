"""A dense CRF layer solves its system with tf.linalg.lu, for which there is no gradient."""

import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "Lu",
    "line_marker": "HERE",
    "none_variables": ["weight"],
    "healthy_variables": ["head"],
    "raises": "LookupError",
}


def build():
    r = np.random.RandomState(101)
    weight = tf.Variable(r.rand(3, 3).astype("float32") + 2.0 * np.eye(3, dtype="float32"), name="weight")
    head = tf.Variable([1.0, 2.0, 3.0], name="head")

    def forward_loss():
        factors, _ = tf.linalg.lu(weight)  # HERE
        return tf.reduce_mean(tf.square(tf.linalg.diag_part(factors) * head - 1.0))

    return forward_loss, [weight, head]
