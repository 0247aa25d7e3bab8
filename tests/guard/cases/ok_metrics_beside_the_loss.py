"""Accuracy, IoU and a confusion matrix are updated inside the forward pass; the loss does not need them."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": None,
    "op_type": None,
    "line_marker": None,
    "none_variables": [],
    "healthy_variables": "all",
}


def build():
    r = np.random.RandomState(208)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3, name="logits")])
    x, y = r.rand(6, 4).astype("float32"), r.randint(0, 3, 6)
    accuracy, iou = keras.metrics.SparseCategoricalAccuracy(), keras.metrics.MeanIoU(3)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def forward_loss():
        logits = model(x)
        accuracy.update_state(y, logits)
        iou.update_state(y, tf.argmax(logits, -1))
        tf.math.confusion_matrix(y, tf.argmax(logits, -1), 3)
        return loss(y, logits)

    return forward_loss, model.trainable_variables
