"""The loss only uses the shape and zeros_like of the prediction."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "constant_loss",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "accept_causes": ["non_differentiable_op", "not_used"],
    "accept_markers": ["ALSO"],
}


def build():
    r = np.random.RandomState(82)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2, name="out")])
    x, y = r.rand(5, 4).astype("float32"), r.rand(5, 2).astype("float32")

    def forward_loss():
        out = model(x)
        blank = tf.zeros_like(out)  # HERE
        return tf.reduce_mean(tf.square(y - blank)) * tf.cast(tf.shape(out)[0], tf.float32)  # ALSO

    return forward_loss, model.trainable_variables
