"""A hard sigmoid gate with a bias of -10 is closed for every input."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "zero_gradient",
    "op_type": "Relu6",
    "line_marker": None,
    "none_variables": [],
    "healthy_variables": ["offset"],
    "zero_variables": ["gate", "value/kernel", "value/bias"],
    "accept_ops": ["Mul", "Maximum", "Minimum", "Relu"],
}


class Net(keras.Model):
    def __init__(self):
        super().__init__()
        self.gate = keras.layers.Dense(
            3, "hard_sigmoid", bias_initializer=keras.initializers.Constant(-10.0), name="gate"
        )
        self.value = keras.layers.Dense(3, name="value")
        self.offset = self.add_weight(shape=(3,), initializer="zeros", name="offset")

    def call(self, x):
        return self.gate(x) * self.value(x) + self.offset


def build():
    r = np.random.RandomState(120)
    x = r.rand(5, 4).astype("float32")
    model = Net()
    model(x)
    return (lambda: tf.reduce_mean(tf.square(model(x) - 1.0))), model.trainable_variables
