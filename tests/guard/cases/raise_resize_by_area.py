"""The mask is scaled down with method="area", which cannot be differentiated."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "ResizeArea",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "raises": "LookupError",
}


def build():
    r = np.random.RandomState(103)
    model = keras.Sequential([keras.layers.Input((8, 8, 1)), keras.layers.Conv2D(1, 3, padding="same", name="mask")])
    x, y = r.rand(2, 8, 8, 1).astype("float32"), r.rand(2, 4, 4, 1).astype("float32")

    def forward_loss():
        small = tf.image.resize(model(x), [4, 4], method="area")  # HERE
        return tf.reduce_mean(tf.square(small - y))

    return forward_loss, model.trainable_variables
