"""Bounding boxes are drawn on the generated image before the loss."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "DrawBoundingBoxesV2",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "raises": "LookupError",
    "accept_ops": ["DrawBoundingBoxes"],
}


def build():
    r = np.random.RandomState(104)
    gen = keras.Sequential(
        [keras.layers.Input((4,)), keras.layers.Dense(48, "sigmoid", name="g"), keras.layers.Reshape((4, 4, 3))]
    )
    z = r.rand(1, 4).astype("float32")

    box, red = tf.constant([[[0.1, 0.1, 0.9, 0.9]]]), tf.constant([[1.0, 0.0, 0.0]])

    def forward_loss():
        drawn = tf.image.draw_bounding_boxes(gen(z), box, red)  # HERE
        return tf.reduce_mean(tf.square(drawn - 0.5))

    return forward_loss, gen.trainable_variables
