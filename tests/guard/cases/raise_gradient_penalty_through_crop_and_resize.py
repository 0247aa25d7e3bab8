"""A gradient penalty differentiates crop_and_resize twice; its own gradient op has none."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "CropAndResizeGradImage",
    "line_marker": None,
    "none_variables": "all",
    "healthy_variables": [],
    "raises": "LookupError",
    "accept_ops": ["CropAndResize"],
}


def build():
    r = np.random.RandomState(330)
    critic = keras.Sequential(
        [keras.layers.Input((3, 3, 1)), keras.layers.Conv2D(2, 2, activation="tanh", use_bias=False, name="critic")]
    )
    image = tf.constant(r.rand(1, 8, 8, 1), tf.float32)

    def forward_loss():
        with tf.GradientTape() as inner:
            inner.watch(image)
            score = tf.reduce_sum(critic(tf.image.crop_and_resize(image, [[0.1, 0.1, 0.7, 0.7]], [0], [3, 3])))
        return tf.reduce_mean(tf.square(inner.gradient(score, image)))

    return forward_loss, critic.trainable_variables
