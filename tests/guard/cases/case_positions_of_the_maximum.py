"""Unpooling positions from max_pool_with_argmax, taken for values."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "MaxPoolWithArgmax",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
}


def build():
    r = np.random.RandomState(306)
    model = keras.Sequential([keras.layers.Input((6, 6, 1)), keras.layers.Conv2D(2, 3, padding="same", name="conv")])
    x = r.rand(2, 6, 6, 1).astype("float32")

    def forward_loss():
        _, positions = tf.nn.max_pool_with_argmax(model(x), 2, 2, "SAME")  # HERE
        return tf.reduce_mean(tf.cast(positions, tf.float32)) / 72.0

    return forward_loss, model.trainable_variables
