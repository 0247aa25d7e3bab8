"""Sequential.pop() and add() exchange the last layer after the list was made."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "variable_replaced",
    "op_type": None,
    "line_marker": None,
    "none_variables": ["old_top"],
    "healthy_variables": ["stem"],
    "accept_causes": ["not_used"],
}


def build():
    r = np.random.RandomState(315)
    model = keras.Sequential(
        [keras.layers.Input((4,)), keras.layers.Dense(3, "tanh", name="stem"), keras.layers.Dense(5, name="old_top")]
    )
    variables = model.trainable_variables
    model.pop()
    model.add(keras.layers.Dense(2, name="new_top"))
    x = r.rand(5, 4).astype("float32")
    return (lambda: tf.reduce_mean(tf.square(model(x) - 1.0))), variables
