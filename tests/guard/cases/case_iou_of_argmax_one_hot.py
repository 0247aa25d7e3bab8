"""Multi-class IoU of one_hot(argmax): the usual metric taken for a loss."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "ArgMax",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "accept_ops": ["OneHot"],
}


def iou_loss(y_true, y_pred, classes=3):
    hard = tf.one_hot(tf.argmax(y_pred, axis=-1), classes)  # HERE
    inter = tf.reduce_sum(hard * y_true, axis=[0, 1, 2])
    union = tf.reduce_sum(hard + y_true, axis=[0, 1, 2]) - inter
    return 1.0 - tf.reduce_mean((inter + 1e-6) / (union + 1e-6))


def build():
    r = np.random.RandomState(421)
    model = keras.Sequential(
        [keras.layers.Input((6, 6, 1)), keras.layers.Conv2D(3, 1, activation="softmax", name="map")]
    )
    x, y = r.rand(2, 6, 6, 1).astype("float32"), tf.one_hot(r.randint(0, 3, (2, 6, 6)), 3)
    return (lambda: iou_loss(y, model(x))), model.trainable_variables
