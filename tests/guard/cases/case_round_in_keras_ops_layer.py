"""A quantising layer written with keras.ops.round, in the middle of a Sequential model."""

import keras
import numpy as np

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "Round",
    "line_marker": "HERE",
    "none_variables": ["before"],
    "healthy_variables": ["after"],
}


class Quantise(keras.layers.Layer):
    def call(self, x):
        return keras.ops.round(x * 4.0) / 4.0  # HERE


def build():
    r = np.random.RandomState(21)
    model = keras.Sequential(
        [
            keras.layers.Input((4,)),
            keras.layers.Dense(5, name="before"),
            Quantise(),
            keras.layers.Dense(1, name="after"),
        ]
    )
    x, y = r.rand(5, 4).astype("float32"), r.rand(5, 1).astype("float32")
    return (lambda: keras.losses.MeanSquaredError()(y, model(x, training=True))), model.trainable_variables
