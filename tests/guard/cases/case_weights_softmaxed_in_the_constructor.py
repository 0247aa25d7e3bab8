"""A layer turns its logits into weights in build(), not in call(): the tape never sees them."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "outside_tape",
    "op_type": None,
    "line_marker": None,
    "none_variables": ["mix"],
    "healthy_variables": ["out"],
    "accept_markers": ["ALSO"],
    "accept_causes": ["not_used"],
}


class Mix(keras.layers.Layer):
    def build(self, shape):
        self.logits = self.add_weight(shape=(shape[-1],), initializer="ones", name="logits")
        self.weights_ = tf.nn.softmax(self.logits)  # ALSO

    def call(self, x):
        return x * self.weights_


def build():
    r = np.random.RandomState(59)
    model = keras.Sequential([Mix(name="mix"), keras.layers.Dense(1, name="out")])
    x, y = r.rand(5, 4).astype("float32"), r.rand(5, 1).astype("float32")
    model(x)
    return (lambda: tf.reduce_mean(tf.square(model(x) - y))), model.trainable_variables
