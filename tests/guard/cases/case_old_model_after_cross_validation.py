"""In each fold the model is made anew, but the variables are those of the first fold."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "variable_replaced",
    "op_type": None,
    "line_marker": None,
    "none_variables": "all",
    "healthy_variables": [],
    "accept_causes": ["not_used"],
}


def make():
    return keras.Sequential(
        [keras.layers.Input((4,)), keras.layers.Dense(3, "tanh", name="hid"), keras.layers.Dense(1, name="out")]
    )


def build():
    r = np.random.RandomState(68)
    x, y = r.rand(5, 4).astype("float32"), r.rand(5, 1).astype("float32")
    model = make()
    variables = model.trainable_variables
    model = make()
    return (lambda: tf.reduce_mean(tf.square(model(x) - y))), variables
