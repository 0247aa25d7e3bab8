"""forward_loss computes the loss and forgets to return it."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "left_tensorflow",
    "op_type": None,
    "line_marker": None,
    "none_variables": [],
    "healthy_variables": [],
    "raises": "TypeError",
    "accept_causes": ["constant_loss", "not_used"],
    "graph": "raises:TypeError",
}


def build():
    r = np.random.RandomState(333)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2, name="out")])
    x = r.rand(5, 4).astype("float32")

    def forward_loss():
        tf.reduce_mean(tf.square(model(x) - 1.0))

    return forward_loss, model.trainable_variables
