"""The step is a tf.function, and the loss inside calls .numpy() on a symbolic tensor."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "left_tensorflow",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": [],
    "raises": "AttributeError",
}


def build():
    r = np.random.RandomState(106)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2, name="out")])
    x, y = r.rand(5, 4).astype("float32"), r.rand(5, 2).astype("float32")

    @tf.function
    def forward_loss():
        error = model(x).numpy() - y  # HERE
        return tf.reduce_mean(tf.square(error))

    return forward_loss, model.trainable_variables
