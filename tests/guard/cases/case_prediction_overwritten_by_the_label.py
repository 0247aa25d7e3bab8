"""y_pred is overwritten with a processed y_true two lines above the loss."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "constant_loss",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "accept_causes": ["not_used"],
}


def loss_fn(y_true, y_pred):
    y_true = tf.one_hot(y_true, 3)
    y_pred = tf.nn.softmax(y_true)
    return tf.reduce_mean(keras.losses.categorical_crossentropy(y_true, y_pred))  # HERE


def build():
    r = np.random.RandomState(83)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3, name="logits")])
    x, y = r.rand(6, 4).astype("float32"), r.randint(0, 3, 6)
    return (lambda: loss_fn(y, model(x))), model.trainable_variables
