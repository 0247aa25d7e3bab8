"""An LSTM's final state is projected, and the projection forgotten."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "not_used",
    "op_type": None,
    "line_marker": None,
    "none_variables": ["state_proj"],
    "healthy_variables": ["lstm", "out"],
}


class Net(keras.Model):
    def __init__(self):
        super().__init__()
        self.lstm = keras.layers.LSTM(3, return_sequences=True, return_state=True, name="lstm")
        self.state_proj = keras.layers.Dense(3, name="state_proj")
        self.out = keras.layers.Dense(1, name="out")

    def call(self, x):
        seq, h, c = self.lstm(x)
        self.state_proj(tf.concat([h, c], -1))
        return self.out(seq)


def build():
    r = np.random.RandomState(66)
    x, y = r.rand(2, 4, 3).astype("float32"), r.rand(2, 4, 1).astype("float32")
    model = Net()
    model(x)
    return (lambda: tf.reduce_mean(tf.square(model(x) - y))), model.trainable_variables
