"""A learnt offset, cast to int, slices the image; only the later convolution learns."""

import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "integer_cast",
    "op_type": "Cast",
    "line_marker": "HERE",
    "none_variables": ["offset"],
    "healthy_variables": ["kernel"],
}


def build():
    r = np.random.RandomState(32)
    offset = tf.Variable([1.6, 2.3], name="offset")
    kernel = tf.Variable(r.randn(3, 3, 1, 1).astype("float32"), name="kernel")
    image = tf.constant(r.rand(1, 10, 10, 1), tf.float32)

    def forward_loss():
        corner = tf.cast(offset, tf.int32)  # HERE
        crop = tf.slice(image, [0, corner[0], corner[1], 0], [1, 5, 5, 1])
        return tf.reduce_mean(tf.square(tf.nn.conv2d(crop, kernel, 1, "VALID") - 1.0))

    return forward_loss, [offset, kernel]
