"""Multi-head attention: the bias of the key projection has no influence, up to rounding."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": None,
    "op_type": None,
    "line_marker": None,
    "none_variables": [],
    "healthy_variables": "all",
    "may_be_zero": ["key/bias"],
}


def build():
    r = np.random.RandomState(211)
    inp = keras.Input((4, 6))
    h = keras.layers.MultiHeadAttention(2, 3, name="mha")(inp, inp)
    h = keras.layers.LayerNormalization(name="norm")(h + inp)
    model = keras.Model(inp, keras.layers.Dense(1, name="out")(h))
    x, y = r.rand(2, 4, 6).astype("float32"), r.rand(2, 4, 1).astype("float32")
    return (lambda: tf.reduce_mean(tf.square(model(x) - y))), model.trainable_variables
