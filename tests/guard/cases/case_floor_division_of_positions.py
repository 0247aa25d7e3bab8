"""A predicted position is turned into a grid cell with //."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "FloorDiv",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
}


def build():
    r = np.random.RandomState(9)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2, name="position")])
    x, y = r.rand(5, 4).astype("float32"), r.randint(0, 4, (5, 2)).astype("float32")

    def forward_loss():
        cell = model(x) * 32.0 // 8.0  # HERE
        return tf.reduce_mean(tf.square(cell - y))

    return forward_loss, model.trainable_variables
