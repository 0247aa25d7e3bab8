"""The centre of the mask is the mean of the indices that tf.where returns."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "Greater",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "accept_ops": ["Where"],
}


def build():
    r = np.random.RandomState(39)
    model = keras.Sequential(
        [keras.layers.Input((6, 6, 1)), keras.layers.Conv2D(1, 3, padding="same", activation="sigmoid", name="mask")]
    )
    x = r.rand(1, 6, 6, 1).astype("float32")

    def forward_loss():
        on = tf.where(model(x)[0, ..., 0] > 0.4)  # HERE
        centre = tf.reduce_mean(tf.cast(on, tf.float32), axis=0)
        return tf.reduce_sum(tf.square(centre - 2.5))

    return forward_loss, model.trainable_variables
