"""The predicted mask is thresholded with tf.math.greater_equal before intersection over union."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "GreaterEqual",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
}


def jaccard_loss(y_true, y_pred):
    mask = tf.cast(tf.math.greater_equal(y_pred, 0.5), tf.float32)  # HERE
    inter = tf.reduce_sum(mask * y_true, axis=[1, 2, 3])
    union = tf.reduce_sum(mask + y_true, axis=[1, 2, 3]) - inter
    return 1.0 - tf.reduce_mean((inter + 1.0) / (union + 1.0))


def build():
    r = np.random.RandomState(5)
    inp = keras.Input((8, 8, 1))
    a = keras.layers.Conv2D(3, 3, padding="same", activation="relu", name="enc")(inp)
    model = keras.Model(inp, keras.layers.Conv2D(1, 1, activation="sigmoid", name="mask")(a))
    x, y = r.rand(2, 8, 8, 1).astype("float32"), (r.rand(2, 8, 8, 1) > 0.5).astype("float32")
    return (lambda: jaccard_loss(y, model(x, training=True))), model.trainable_variables
