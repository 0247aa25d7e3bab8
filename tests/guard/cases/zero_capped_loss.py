"""tf.minimum caps the loss of every example."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "zero_gradient",
    "op_type": "Minimum",
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": [],
    "zero_variables": "all",
}


def build():
    r = np.random.RandomState(343)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1, name="out")])
    x = r.rand(5, 4).astype("float32")

    def forward_loss():
        error = tf.square(model(x) - 100.0)
        return tf.reduce_mean(tf.minimum(error, 10.0))  # HERE

    return forward_loss, model.trainable_variables
