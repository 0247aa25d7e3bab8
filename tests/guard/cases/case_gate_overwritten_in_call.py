"""call() assigns a decayed tensor to the attribute that held the weight."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "outside_tape",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": ["gates"],
    "healthy_variables": ["out"],
    "accept_causes": ["variable_replaced"],
}


class Gate(keras.layers.Layer):
    def build(self, shape):
        self.gate = self.add_weight(shape=(shape[-1],), initializer="ones", name="gate")

    def call(self, x):
        self.gate = self.gate * 0.9  # HERE
        return x * self.gate


def build():
    r = np.random.RandomState(411)
    gate, out = Gate(name="gates"), keras.layers.Dense(1, name="out")
    x, y = r.rand(5, 4).astype("float32"), r.rand(5, 1).astype("float32")
    out(gate(x))
    return (lambda: tf.reduce_mean(tf.square(out(gate(x)) - y))), gate.trainable_variables + out.trainable_variables
