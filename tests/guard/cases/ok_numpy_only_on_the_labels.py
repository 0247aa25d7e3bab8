"""NumPy prepares weights from the labels; the prediction stays in TensorFlow."""

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
    r = np.random.RandomState(238)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3, "softmax", name="out")])
    x, y = r.rand(6, 4).astype("float32"), r.randint(0, 3, 6)

    def forward_loss():
        counts = np.bincount(y, minlength=3) + 1.0
        weights = tf.constant((1.0 / counts)[y], tf.float32)
        return tf.reduce_mean(weights * keras.losses.sparse_categorical_crossentropy(y, model(x)))

    return forward_loss, model.trainable_variables
