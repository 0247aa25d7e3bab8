"""The result() of a keras.metrics.Mean, updated with the loss, is differentiated."""

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
    r = np.random.RandomState(88)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2, name="out")])
    mean = keras.metrics.Mean()
    x, y = r.rand(5, 4).astype("float32"), r.rand(5, 2).astype("float32")

    def forward_loss():
        mean.update_state(tf.square(model(x) - y))  # HERE
        return mean.result() * 2.0  # ALSO

    return forward_loss, model.trainable_variables
