"""A Lambda layer closes over a tf.Variable of the enclosing function."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "untracked_variable",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": ["a", "b"],
    "untracked_variables": ["temperature"],
    "accept_markers": ["ALSO"],
}


def build():
    r = np.random.RandomState(76)
    temperature = tf.Variable(1.5, name="temperature")  # ALSO
    inp = keras.Input((4,))
    h = keras.layers.Dense(3, name="a")(inp)
    h = keras.layers.Lambda(lambda t: t / temperature)(h)  # HERE
    model = keras.Model(inp, keras.layers.Dense(1, name="b")(h))
    x, y = r.rand(5, 4).astype("float32"), r.rand(5, 1).astype("float32")
    return (lambda: tf.reduce_mean(tf.square(model(x) - y))), model.trainable_variables
