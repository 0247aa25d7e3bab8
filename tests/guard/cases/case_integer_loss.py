"""The loss itself is cast to an integer, for a tidier print-out."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "integer_cast",
    "op_type": "Cast",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
}


def build():
    r = np.random.RandomState(34)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2, name="out")])
    x = r.rand(5, 4).astype("float32")

    def forward_loss():
        loss = tf.reduce_sum(tf.square(model(x) - 3.0)) * 100.0
        return tf.cast(loss, tf.int32)  # HERE

    return forward_loss, model.trainable_variables
