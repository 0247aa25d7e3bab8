"""tf.image.psnr of an image with itself: the logarithm of zero in the library."""

import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "nan_gradient",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": [],
    "nan_variables": "all",
}


def build():
    r = np.random.RandomState(350)
    goal = tf.constant(r.rand(1, 6, 6, 1), tf.float32)
    image = tf.Variable(goal, name="image")

    def forward_loss():
        quality = tf.image.psnr(image, goal, 1.0)  # HERE
        return -tf.reduce_mean(quality)

    return forward_loss, [image]
