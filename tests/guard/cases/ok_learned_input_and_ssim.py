"""An image variable is optimised through SSIM and total variation."""

import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": None,
    "op_type": None,
    "line_marker": None,
    "none_variables": [],
    "healthy_variables": "all",
}


def build():
    r = np.random.RandomState(243)
    image = tf.Variable(r.rand(1, 12, 12, 1).astype("float32"), name="image")
    goal = tf.constant(r.rand(1, 12, 12, 1), tf.float32)

    def forward_loss():
        return (
            1.0
            - tf.reduce_mean(tf.image.ssim(image, goal, 1.0, filter_size=5))
            + 1e-3 * tf.reduce_mean(tf.image.total_variation(image))
        )

    return forward_loss, [image]
