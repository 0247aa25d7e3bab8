"""Instance normalisation by hand: reduce_std of a flat image, without epsilon."""

import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "nan_gradient",
    "op_type": "Sqrt",
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": [],
    "nan_variables": "all",
    "accept_ops": ["RealDiv"],
    "accept_markers": ["ALSO"],
}


def build():
    kernel = tf.Variable(np.float32([[[[0.5, 0.25]]]]), name="kernel")
    image = tf.ones([2, 4, 4, 1])

    def forward_loss():
        h = tf.nn.conv2d(image, kernel, 1, "VALID")
        std = tf.math.reduce_std(h, axis=[1, 2], keepdims=True)  # HERE
        return tf.reduce_mean(tf.abs((h - 0.1) / std))  # ALSO

    return forward_loss, [kernel]
