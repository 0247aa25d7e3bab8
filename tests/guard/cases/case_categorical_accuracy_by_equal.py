"""One minus the share of right classes: equal(argmax, argmax)."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "ArgMax",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "accept_ops": ["Equal"],
}


def loss_fn(y_true, y_pred):
    right = tf.equal(tf.argmax(y_true, -1), tf.argmax(y_pred, -1))  # HERE
    return 1.0 - tf.reduce_mean(tf.cast(right, tf.float32))


def build():
    r = np.random.RandomState(4)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3, name="logits")])
    x, y = r.rand(6, 4).astype("float32"), np.eye(3, dtype="float32")[r.randint(0, 3, 6)]
    return (lambda: loss_fn(y, model(x, training=True))), model.trainable_variables
