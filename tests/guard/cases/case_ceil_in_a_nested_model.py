"""A submodel two levels down rounds up its output."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "Ceil",
    "line_marker": "HERE",
    "none_variables": ["inner_dense"],
    "healthy_variables": ["outer_dense"],
}


class Ceiling(keras.layers.Layer):
    def call(self, x):
        raised = tf.math.ceil(x)  # HERE
        return raised * 0.5


def build():
    r = np.random.RandomState(22)
    inner = keras.Sequential(
        [keras.layers.Input((4,)), keras.layers.Dense(3, name="inner_dense"), Ceiling()], name="inner"
    )
    middle_in = keras.Input((4,))
    middle = keras.Model(middle_in, inner(middle_in), name="middle")
    inp = keras.Input((4,))
    model = keras.Model(inp, keras.layers.Dense(1, name="outer_dense")(middle(inp)))
    x, y = r.randn(6, 4).astype("float32"), r.rand(6, 1).astype("float32")
    return (lambda: tf.reduce_mean(tf.abs(model(x, training=True) - y))), model.trainable_variables
