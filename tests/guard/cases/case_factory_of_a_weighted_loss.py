"""A factory makes a loss with learned weights of its two terms, which nobody can list."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "untracked_variable",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": "all",
    "untracked_variables": ["balance"],
    "accept_markers": ["ALSO"],
}


def weighted(first, second):
    balance = tf.Variable([0.0, 0.0], name="balance")  # ALSO

    def loss(y_true, y_pred):
        share = tf.nn.softmax(balance)  # HERE
        return share[0] * first(y_true, y_pred) + share[1] * second(y_true, y_pred)

    return loss


def build():
    r = np.random.RandomState(421)
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2, name="out")])
    loss_fn = weighted(keras.losses.MeanSquaredError(), keras.losses.MeanAbsoluteError())
    x, y = r.rand(5, 3).astype("float32"), r.rand(5, 2).astype("float32")
    return (lambda: loss_fn(y, model(x, training=True))), model.trainable_variables
