"""Dice with tf.stop_gradient around the score."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "stop_gradient",
    "op_type": "StopGradient",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
}


def dice_loss(y_true, y_pred):
    overlap = tf.reduce_sum(y_true * y_pred)
    score = (2.0 * overlap + 1e-5) / (tf.reduce_sum(y_true) + tf.reduce_sum(y_pred) + 1e-5)
    return 1.0 - tf.stop_gradient(score)  # HERE


def build():
    r = np.random.RandomState(90)
    model = keras.Sequential(
        [keras.layers.Input((8, 8, 1)), keras.layers.Conv2D(1, 3, padding="same", activation="sigmoid", name="mask")]
    )
    x, y = r.rand(2, 8, 8, 1).astype("float32"), (r.rand(2, 8, 8, 1) > 0.5).astype("float32")
    return (lambda: dice_loss(y, model(x, training=True))), model.trainable_variables
