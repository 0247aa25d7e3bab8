"""np.log of a symbolic tensor inside tf.function: NumPy cannot convert it."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "left_tensorflow",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": [],
    "raises": "NotImplementedError",
}


def build():
    r = np.random.RandomState(107)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2, "sigmoid", name="out")])
    x = r.rand(5, 4).astype("float32")

    @tf.function
    def forward_loss():
        log = np.log(model(x))  # HERE
        return -tf.reduce_mean(log)

    return forward_loss, model.trainable_variables
