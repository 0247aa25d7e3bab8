"""A copy-and-paste slip: the error is computed against zeros_like of the prediction."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "ZerosLike",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "accept_causes": ["constant_loss"],
}


def loss_fn(y_true, y_pred):
    start = tf.zeros_like(y_pred)  # HERE
    return tf.reduce_mean(tf.square(y_true - start))


def build():
    r = np.random.RandomState(402)
    model = keras.Sequential(
        [keras.layers.Input((4,)), keras.layers.Dense(3, "relu", name="a"), keras.layers.Dense(2, name="b")]
    )
    x, y = r.rand(5, 4).astype("float32"), r.rand(5, 2).astype("float32")
    return (lambda: loss_fn(y, model(x, training=True))), model.trainable_variables
