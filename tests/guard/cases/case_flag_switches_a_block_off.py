"""A squeeze-and-excite block is built and switched off by a Python flag."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "not_used",
    "op_type": None,
    "line_marker": None,
    "none_variables": ["squeeze", "excite"],
    "healthy_variables": ["conv", "head"],
}


class Net(keras.Model):
    def __init__(self, use_se=False):
        super().__init__()
        self.use_se = use_se
        self.conv = keras.layers.Conv2D(4, 3, activation="relu", name="conv")
        self.squeeze = keras.layers.Dense(2, "relu", name="squeeze")
        self.excite = keras.layers.Dense(4, "sigmoid", name="excite")
        self.head = keras.layers.Dense(1, name="head")

    def build(self, shape):
        self.conv.build(shape)
        self.squeeze.build((None, 4))
        self.excite.build((None, 2))
        self.head.build((None, 4))

    def call(self, x):
        h = self.conv(x)
        if self.use_se:
            h = h * self.excite(self.squeeze(tf.reduce_mean(h, [1, 2])))[:, None, None]
        return self.head(tf.reduce_mean(h, [1, 2]))


def build():
    r = np.random.RandomState(64)
    x, y = r.rand(3, 6, 6, 1).astype("float32"), r.rand(3, 1).astype("float32")
    model = Net()
    model(x)
    return (lambda: tf.reduce_mean(tf.square(model(x) - y))), model.trainable_variables
