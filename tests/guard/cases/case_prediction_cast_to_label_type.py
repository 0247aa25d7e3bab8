"""The prediction is cast to the type of the integer labels, so that they can be subtracted."""

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


def loss_fn(y_true, y_pred):
    y_pred = tf.cast(y_pred, y_true.dtype)  # HERE
    return tf.reduce_mean(tf.cast(tf.square(y_true - y_pred), tf.float32))


def build():
    r = np.random.RandomState(28)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2, name="out")])
    x, y = r.rand(5, 4).astype("float32"), tf.constant(r.randint(0, 4, (5, 2)), tf.int32)
    return (lambda: loss_fn(y, model(x, training=True))), model.trainable_variables
