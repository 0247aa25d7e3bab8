"""A colour augmentation converts the generated image to HSV and back; the way back has no gradient."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "HSVToRGB",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
}


def build():
    gen = keras.Sequential(
        [keras.layers.Input((4,)), keras.layers.Dense(48, "sigmoid", name="g"), keras.layers.Reshape((4, 4, 3))]
    )
    z = np.random.RandomState(13).rand(2, 4).astype("float32")

    def forward_loss():
        hsv = tf.image.rgb_to_hsv(gen(z))
        hsv = hsv * tf.constant([1.0, 0.8, 1.0])
        image = tf.image.hsv_to_rgb(hsv)  # HERE
        return tf.reduce_mean(tf.square(image - 0.5))

    return forward_loss, gen.trainable_variables
