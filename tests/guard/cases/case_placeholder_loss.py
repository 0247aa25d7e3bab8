"""A loss function that was left as a stub returns a constant."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "constant_loss",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "accept_causes": ["not_used"],
}


def todo_loss(y_true, y_pred):
    return tf.constant(0.0)  # HERE


def build():
    r = np.random.RandomState(81)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2, name="out")])
    x, y = r.rand(5, 4).astype("float32"), r.rand(5, 2).astype("float32")
    return (lambda: todo_loss(y, model(x))), model.trainable_variables
