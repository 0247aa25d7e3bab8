"""Focal Tversky loss with smoothing."""

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
    r = np.random.RandomState(232)
    model = keras.Sequential(
        [keras.layers.Input((6, 6, 1)), keras.layers.Conv2D(1, 3, padding="same", activation="sigmoid", name="mask")]
    )
    x, y = r.rand(2, 6, 6, 1).astype("float32"), (r.rand(2, 6, 6, 1) > 0.5).astype("float32")

    def forward_loss():
        p = model(x)
        tp, fn, fp = tf.reduce_sum(p * y), tf.reduce_sum((1 - p) * y), tf.reduce_sum(p * (1 - y))
        return tf.pow(1.0 - (tp + 1.0) / (tp + 0.7 * fn + 0.3 * fp + 1.0), 0.75)

    return forward_loss, model.trainable_variables
