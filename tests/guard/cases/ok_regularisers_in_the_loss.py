"""Weight decay by Keras regularisers, added from model.losses."""

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
    r = np.random.RandomState(207)
    model = keras.Sequential(
        [
            keras.layers.Input((4,)),
            keras.layers.Dense(5, "tanh", kernel_regularizer="l2", activity_regularizer="l1", name="a"),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(1, bias_regularizer="l2", bias_initializer="ones", name="b"),
        ]
    )
    x, y = r.rand(5, 4).astype("float32"), r.rand(5, 1).astype("float32")
    return (
        lambda: tf.reduce_mean(tf.square(model(x, training=True) - y)) + tf.add_n(model.losses)
    ), model.trainable_variables
