"""keras.layers.RandomHue augments generated images (as ADA does); its way back from HSV has no gradient."""

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


class Augmented(keras.Model):
    def __init__(self):
        super().__init__()
        self.paint = keras.layers.Dense(48, "sigmoid", name="paint")
        self.hue = keras.layers.RandomHue(0.3, value_range=(0.0, 1.0), seed=1)

    def call(self, z, training=True):
        images = keras.ops.reshape(self.paint(z), (-1, 4, 4, 3))
        return self.hue(images, training=training)  # HERE


def build():
    z = np.random.RandomState(305).rand(2, 4).astype("float32")
    model = Augmented()
    model(z)
    return (lambda: tf.reduce_mean(tf.square(model(z, training=True) - 0.5))), model.trainable_variables
