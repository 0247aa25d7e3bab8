"""The background is cut away from a mask that has no other channel."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "zero_gradient",
    "op_type": "StridedSlice",
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": [],
    "zero_variables": "all",
}


def build():
    r = np.random.RandomState(418)
    model = keras.Sequential(
        [keras.layers.Input((4, 4, 3)), keras.layers.Conv2D(1, 3, activation="sigmoid", padding="same", name="mask")]
    )
    x, y = r.rand(2, 4, 4, 3).astype("float32"), r.rand(2, 4, 4, 1).astype("float32")

    def forward_loss():
        p = model(x, training=True)
        objects = p[..., 1:]  # HERE
        return 1.0 - (tf.reduce_sum(objects * y[..., 1:]) + 1.0) / (tf.reduce_sum(objects) + 1.0)

    return forward_loss, model.trainable_variables
