"""The kernel is read with .numpy() to build a symmetric matrix."""

import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "left_tensorflow",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": ["kernel"],
    "healthy_variables": ["bias"],
    "accept_markers": ["ALSO"],
    "graph": "raises:NotImplementedError",
}


def build():
    r = np.random.RandomState(301)
    kernel, bias = tf.Variable(r.randn(3, 3).astype("float32"), name="kernel"), tf.Variable(tf.zeros([3]), name="bias")
    x = tf.constant(r.rand(5, 3), tf.float32)

    def forward_loss():
        raw = kernel.numpy()  # HERE
        symmetric = (raw + raw.T) / 2.0
        return tf.reduce_mean(tf.square(tf.matmul(x, symmetric) + bias - 1.0))  # ALSO

    return forward_loss, [kernel, bias]
