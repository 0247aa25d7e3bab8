"""A squared logarithmic error of predictions that may be negative."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "nan_gradient",
    "op_type": "Log",
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": [],
    "nan_variables": "all",
}


def build():
    r = np.random.RandomState(410)
    model = keras.Sequential(
        [
            keras.layers.Input((4,)),
            keras.layers.Dense(1, bias_initializer=keras.initializers.Constant(-9.0), name="logits"),
        ]
    )
    x, y = r.rand(5, 4).astype("float32"), r.rand(5, 1).astype("float32")

    def forward_loss():
        log = tf.math.log(model(x))  # HERE
        return tf.reduce_mean(tf.square(log - tf.math.log(y)))

    return forward_loss, model.trainable_variables
