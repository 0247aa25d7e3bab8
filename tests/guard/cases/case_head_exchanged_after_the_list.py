"""Transfer learning: the head is exchanged after the list of variables was made."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "variable_replaced",
    "op_type": None,
    "line_marker": None,
    "none_variables": ["old_head"],
    "healthy_variables": ["trunk"],
    "accept_causes": ["not_used"],
}


def build():
    r = np.random.RandomState(70)
    trunk = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3, "tanh", name="trunk")])
    head = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(10, name="old_head")])
    variables = trunk.trainable_variables + head.trainable_variables
    head = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2, name="new_head")])
    x = r.rand(5, 4).astype("float32")
    return (lambda: tf.reduce_mean(tf.square(head(trunk(x)) - 1.0))), variables
