"""The whole forward pass hides in a numpy_function that takes nothing."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "left_tensorflow",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "accept_markers": ["ALSO"],
}


def build():
    r = np.random.RandomState(406)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2, name="out")])
    x, y = r.rand(5, 4).astype("float32"), r.rand(5, 2).astype("float32")

    def predict():
        return model(x).numpy()  # ALSO

    def forward_loss():
        p = tf.numpy_function(predict, [], tf.float32)  # HERE
        return tf.reduce_mean(tf.square(p - y))

    return forward_loss, model.trainable_variables
