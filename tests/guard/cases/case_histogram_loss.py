"""The histogram of the output is compared with a target histogram."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "accept_causes": ["integer_cast"],
}


def build():
    r = np.random.RandomState(8)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(8, "sigmoid", name="pixels")])
    x = r.rand(5, 4).astype("float32")

    def forward_loss():
        counts = tf.histogram_fixed_width(model(x), [0.0, 1.0], nbins=4)  # HERE
        return tf.reduce_mean(tf.square(tf.cast(counts, tf.float32) - 10.0))

    return forward_loss, model.trainable_variables
