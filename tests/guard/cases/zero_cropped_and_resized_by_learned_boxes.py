"""Boxes of crop_and_resize are learned on a constant image: connected, and nothing to see."""

import tensorflow as tf

EXPECT = {
    "cause": "zero_gradient",
    "op_type": "CropAndResize",
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": ["scale"],
    "zero_variables": ["boxes"],
}


def build():
    boxes = tf.Variable([[0.1, 0.1, 0.6, 0.6], [0.2, 0.3, 0.9, 0.8]], name="boxes")
    scale = tf.Variable(2.0, name="scale")
    image = tf.ones([1, 12, 12, 1])

    def forward_loss():
        crops = tf.image.crop_and_resize(image, boxes, [0, 0], [3, 3])  # HERE
        return tf.reduce_mean(tf.square(crops * scale - 1.5))

    return forward_loss, [boxes, scale]
