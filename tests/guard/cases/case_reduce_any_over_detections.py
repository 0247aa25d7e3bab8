"""Whether any pixel is positive is learned through reduce_any."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "Greater",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "accept_ops": ["Any"],
    "accept_markers": ["ALSO"],
}


def build():
    r = np.random.RandomState(38)
    model = keras.Sequential([keras.layers.Input((6, 6, 1)), keras.layers.Conv2D(1, 3, name="heat")])
    x, y = r.rand(4, 6, 6, 1).astype("float32"), tf.constant([1.0, 0.0, 1.0, 0.0])

    def forward_loss():
        positive = model(x) > 0.1  # HERE
        found = tf.reduce_any(positive, axis=[1, 2, 3])  # ALSO
        return tf.reduce_mean(tf.square(tf.cast(found, tf.float32) - y))

    return forward_loss, model.trainable_variables
