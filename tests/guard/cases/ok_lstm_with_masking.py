"""Embedding with mask_zero into a bidirectional LSTM."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": None,
    "op_type": None,
    "line_marker": None,
    "none_variables": [],
    "healthy_variables": "all",
}


def build():
    r = np.random.RandomState(210)
    model = keras.Sequential(
        [
            keras.layers.Input((5,), dtype="int32"),
            keras.layers.Embedding(8, 3, mask_zero=True, name="emb"),
            keras.layers.Bidirectional(keras.layers.LSTM(3, name="lstm")),
            keras.layers.Dense(1, name="out"),
        ]
    )
    ids, y = np.array([[1, 2, 3, 0, 0], [4, 5, 0, 0, 0], [6, 7, 1, 2, 3]]), r.rand(3, 1).astype("float32")
    return (lambda: tf.reduce_mean(tf.square(model(ids, training=True) - y))), model.trainable_variables
