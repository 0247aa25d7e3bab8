"""An F1 metric found on the web, with rounded predictions, is used as the loss."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "Round",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "accept_markers": ["ALSO"],
}


def f1_loss(y_true, y_pred):
    tp = tf.reduce_sum(tf.round(tf.clip_by_value(y_true * y_pred, 0.0, 1.0)))  # HERE
    predicted = tf.reduce_sum(tf.round(tf.clip_by_value(y_pred, 0.0, 1.0)))  # ALSO
    possible = tf.reduce_sum(tf.round(tf.clip_by_value(y_true, 0.0, 1.0)))
    precision, recall = tp / (predicted + 1e-7), tp / (possible + 1e-7)
    return 1.0 - 2.0 * precision * recall / (precision + recall + 1e-7)


def build():
    r = np.random.RandomState(2)
    model = keras.Sequential(
        [keras.layers.Input((5,)), keras.layers.Dense(4, "relu", name="a"), keras.layers.Dense(1, "sigmoid", name="b")]
    )
    x, y = r.rand(8, 5).astype("float32"), (r.rand(8, 1) > 0.5).astype("float32")
    return (lambda: f1_loss(y, model(x, training=True))), model.trainable_variables
