"""Cohen's kappa from a confusion matrix of predicted ids as the loss."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "ArgMax",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
}


def kappa_loss(y_true, y_pred):
    ids = tf.argmax(y_pred, -1)  # HERE
    table = tf.cast(tf.math.confusion_matrix(y_true, ids, num_classes=3), tf.float32)
    total = tf.reduce_sum(table)
    agree = tf.linalg.trace(table) / total
    chance = tf.reduce_sum(tf.reduce_sum(table, 0) * tf.reduce_sum(table, 1)) / total**2
    return 1.0 - (agree - chance) / (1.0 - chance + 1e-6)


def build():
    r = np.random.RandomState(16)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3, "softmax", name="out")])
    x, y = r.rand(9, 4).astype("float32"), np.arange(9) % 3
    return (lambda: kappa_loss(y, model(x))), model.trainable_variables
