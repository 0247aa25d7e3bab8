"""model.trainable_variables of a subclassed model that has not seen data yet is an empty list."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "not_trainable",
    "op_type": None,
    "line_marker": None,
    "none_variables": [],
    "healthy_variables": [],
    "empty_variables": True,
    "accept_causes": ["untracked_variable", "variable_replaced", "not_used"],
}


class Net(keras.Model):
    def __init__(self):
        super().__init__()
        self.out = keras.layers.Dense(1, name="out")

    def call(self, x):
        return self.out(x)


def build():
    x = np.random.RandomState(74).rand(5, 4).astype("float32")
    model = Net()
    variables = model.trainable_variables
    return (lambda: tf.reduce_mean(tf.square(model(x) - 1.0))), variables
