"""A rounding layer inside keras.layers.TimeDistributed."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "Round",
    "line_marker": "HERE",
    "none_variables": ["frame"],
    "healthy_variables": ["head"],
}


class Rounded(keras.layers.Layer):
    def call(self, x):
        return tf.round(x)  # HERE

    def compute_output_shape(self, input_shape):
        return input_shape


def build():
    r = np.random.RandomState(310)
    inp = keras.Input((3, 4))
    h = keras.layers.TimeDistributed(keras.layers.Dense(5, name="frame"))(inp)
    h = keras.layers.TimeDistributed(Rounded())(h)
    model = keras.Model(inp, keras.layers.Dense(1, name="head")(keras.layers.Flatten()(h)))
    x, y = 5.0 * r.rand(2, 3, 4).astype("float32"), r.rand(2, 1).astype("float32")
    return (lambda: tf.reduce_mean(tf.square(model(x) - y))), model.trainable_variables
