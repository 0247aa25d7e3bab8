"""A soft histogram uses the predictions as weights of tf.math.bincount."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "DenseBincount",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "raises": "LookupError",
    "accept_ops": ["Bincount"],
}


def build():
    r = np.random.RandomState(102)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(6, "sigmoid", name="mass")])
    x = r.rand(1, 4).astype("float32")
    bins = tf.constant([0, 1, 1, 2, 2, 2])

    def forward_loss():
        histogram = tf.math.bincount(bins, weights=model(x)[0], minlength=3)  # HERE
        return tf.reduce_mean(tf.square(histogram - 1.0))

    return forward_loss, model.trainable_variables
