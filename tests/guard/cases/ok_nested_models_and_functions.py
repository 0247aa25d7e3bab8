"""Models within models, and tf.functions within tf.functions."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": None,
    "op_type": None,
    "line_marker": None,
    "none_variables": [],
    "healthy_variables": "all",
}


@tf.function
def inner(t):
    return tf.tanh(t) * 2.0


@tf.function
def outer(t, y):
    return tf.reduce_mean(tf.square(inner(t) - y))


def build():
    r = np.random.RandomState(230)
    a = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3, name="a")])
    inp = keras.Input((4,))
    b = keras.Model(inp, keras.layers.Dense(2, name="b")(a(inp)))
    top = keras.Input((4,))
    model = keras.Model(top, keras.layers.Dense(1, name="c")(b(top)))
    x, y = r.rand(5, 4).astype("float32"), r.rand(5, 1).astype("float32")
    return (lambda: outer(model(x), y)), model.trainable_variables
