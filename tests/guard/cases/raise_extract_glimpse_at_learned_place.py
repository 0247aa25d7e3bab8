"""A visual attention model cuts a glimpse at a predicted place; the op has no gradient at all."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "ExtractGlimpseV2",
    "line_marker": "HERE",
    "none_variables": ["place"],
    "healthy_variables": ["reader"],
    "raises": "LookupError",
    "accept_ops": ["ExtractGlimpse"],
}


def build():
    r = np.random.RandomState(35)
    place = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2, "tanh", name="place")])
    reader = keras.Sequential([keras.layers.Input((9,)), keras.layers.Dense(1, name="reader")])
    image, x = tf.constant(r.rand(3, 8, 8, 1), tf.float32), r.rand(3, 4).astype("float32")

    def forward_loss():
        glimpse = tf.image.extract_glimpse(image, [3, 3], place(x))  # HERE
        return tf.reduce_mean(tf.square(reader(tf.reshape(glimpse, [3, 9])) - 1.0))

    return forward_loss, place.trainable_variables + reader.trainable_variables
