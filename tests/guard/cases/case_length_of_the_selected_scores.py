"""A count of the confident pixels: the size of what boolean_mask keeps."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "Size",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "accept_ops": ["Where", "Greater", "Shape"],
    "accept_markers": ["ALSO"],
}


def build():
    r = np.random.RandomState(403)
    model = keras.Sequential(
        [keras.layers.Input((4, 4, 1)), keras.layers.Conv2D(1, 1, activation="sigmoid", name="mask")]
    )
    x = r.rand(2, 4, 4, 1).astype("float32")

    def forward_loss():
        p = model(x, training=True)
        confident = tf.boolean_mask(p, p > 0.5)  # HERE
        return tf.abs(tf.cast(tf.size(confident), tf.float32) - 10.0)  # ALSO

    return forward_loss, model.trainable_variables
