"""The loss is added to a variable with assign_add, and the variable is returned as the loss."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "stateful_assign",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "accept_markers": ["ALSO"],
}


def build():
    r = np.random.RandomState(87)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2, name="out")])
    total = tf.Variable(0.0, trainable=False, name="total")
    x, y = r.rand(5, 4).astype("float32"), r.rand(5, 2).astype("float32")

    def forward_loss():
        total.assign(0.0)
        total.assign_add(tf.reduce_mean(tf.square(model(x) - y)))  # HERE
        return total * 1.0  # ALSO

    return forward_loss, model.trainable_variables
