"""The generated image is converted to bytes before the perceptual distance."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "integer_cast",
    "op_type": "Cast",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "accept_causes": ["non_differentiable_op"],
    "accept_ops": ["Round"],
}


def build():
    r = np.random.RandomState(29)
    gen = keras.Sequential(
        [keras.layers.Input((4,)), keras.layers.Dense(48, "sigmoid", name="pixels"), keras.layers.Reshape((4, 4, 3))]
    )
    z, real = r.rand(2, 4).astype("float32"), r.rand(2, 4, 4, 3).astype("float32")

    def forward_loss():
        image = tf.image.convert_image_dtype(gen(z), tf.uint8)  # HERE
        return tf.reduce_mean(tf.abs(tf.cast(image, tf.float32) / 255.0 - real))

    return forward_loss, gen.trainable_variables
