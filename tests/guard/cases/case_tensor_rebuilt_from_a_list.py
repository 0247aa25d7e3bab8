"""The prediction goes through .numpy().tolist() into a Python list and back."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "left_tensorflow",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": ["out"],
    "healthy_variables": [],
    "accept_markers": ["ALSO"],
    "graph": "raises:AttributeError",
}


def build():
    r = np.random.RandomState(56)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1, name="out")])
    x = r.rand(5, 4).astype("float32")

    def forward_loss():
        values = model(x)[:, 0].numpy().tolist()  # HERE
        best = sorted(values)[:3]
        return tf.reduce_mean(tf.constant(best))  # ALSO

    return forward_loss, model.trainable_variables
