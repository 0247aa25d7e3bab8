"""A feature network is called with predict_on_batch inside the forward pass."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "left_tensorflow",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": ["features"],
    "healthy_variables": ["head"],
    "accept_causes": ["outside_tape", "not_used"],
    "graph": "raises:RuntimeError",
}


def build():
    r = np.random.RandomState(427)
    features = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3, name="features")])
    head = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1, name="head")])
    x = r.rand(6, 4).astype("float32")

    def forward_loss():
        f = features.predict_on_batch(x)  # HERE
        return tf.reduce_mean(tf.square(head(f) - 1.0))

    return forward_loss, features.trainable_variables + head.trainable_variables
