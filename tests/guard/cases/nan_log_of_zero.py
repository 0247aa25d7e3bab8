"""Cross-entropy by hand of a probability that a ReLU made exactly zero."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "nan_gradient",
    "op_type": "Log",
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": [],
    "nan_variables": "all",
}


def loss_fn(y_true, y_pred):
    return -tf.reduce_mean(y_true * tf.math.log(y_pred))  # HERE


def build():
    r = np.random.RandomState(130)
    model = keras.Sequential(
        [keras.layers.Input((4,)), keras.layers.Dense(3, "relu", kernel_initializer="zeros", name="out")]
    )
    x, y = r.rand(5, 4).astype("float32"), np.eye(3, dtype="float32")[[0, 1, 2, 0, 1]]
    return (lambda: loss_fn(y, model(x))), model.trainable_variables
