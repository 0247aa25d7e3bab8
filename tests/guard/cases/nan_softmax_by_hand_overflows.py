"""exp(logits) / sum without subtracting the maximum."""

import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "nan_gradient",
    "op_type": "Exp",
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": [],
    "nan_variables": "all",
    "accept_markers": ["ALSO"],
}


def build():
    r = np.random.RandomState(131)
    w = tf.Variable(r.rand(4, 3).astype("float32") * 100.0 + 50.0, name="w")
    x = tf.constant(r.rand(5, 4) + 1.0, tf.float32)

    def forward_loss():
        e = tf.exp(x @ w)  # HERE
        p = e / tf.reduce_sum(e, -1, keepdims=True)  # ALSO
        return -tf.reduce_mean(p[:, 0])

    return forward_loss, [w]
