"""A custom layer normalises with np.linalg.norm in call()."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "left_tensorflow",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": ["before"],
    "healthy_variables": ["after"],
    "graph": "raises:NotImplementedError",
}


class Normalise(keras.layers.Layer):
    def call(self, x):
        unit = np.asarray(x) / (np.linalg.norm(x, axis=-1, keepdims=True) + 1e-6)  # HERE
        return tf.constant(unit)

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, x.dtype)


def build():
    r = np.random.RandomState(54)
    model = keras.Sequential(
        [
            keras.layers.Input((4,)),
            keras.layers.Dense(3, name="before"),
            Normalise(),
            keras.layers.Dense(1, name="after"),
        ]
    )
    x, y = r.rand(5, 4).astype("float32"), r.rand(5, 1).astype("float32")
    return (lambda: tf.reduce_mean(tf.square(model(x) - y))), model.trainable_variables
