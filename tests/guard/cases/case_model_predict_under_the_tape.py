"""model.predict instead of a call: it returns NumPy arrays."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "left_tensorflow",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "accept_causes": ["outside_tape", "not_used", "constant_loss"],
    "graph": "raises:RuntimeError",
}


def build():
    r = np.random.RandomState(53)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2, name="out")])
    x, y = r.rand(5, 4).astype("float32"), r.rand(5, 2).astype("float32")

    def forward_loss():
        prediction = model.predict(x, verbose=0)  # HERE
        return tf.reduce_mean(tf.square(prediction - y))

    return forward_loss, model.trainable_variables
