"""tf.where keeps the prediction only at foreground pixels, and the batch has none."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "zero_gradient",
    "op_type": "SelectV2",
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": [],
    "zero_variables": "all",
}


def loss_fn(y_true, y_pred):
    kept = tf.where(y_true > 0.5, y_pred, 0.0)  # HERE
    return tf.reduce_mean(tf.square(kept - y_true))


def build():
    r = np.random.RandomState(113)
    model = keras.Sequential(
        [keras.layers.Input((6, 6, 1)), keras.layers.Conv2D(1, 3, padding="same", activation="sigmoid", name="mask")]
    )
    x, y = r.rand(2, 6, 6, 1).astype("float32"), np.zeros((2, 6, 6, 1), "float32")
    return (lambda: loss_fn(y, model(x))), model.trainable_variables
