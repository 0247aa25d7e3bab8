"""The prediction is formatted as text and parsed again, to keep two decimals."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "AsString",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "accept_ops": ["StringToNumber"],
    "accept_markers": ["ALSO"],
}


def build():
    r = np.random.RandomState(14)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1, name="price")])
    x, y = r.rand(5, 4).astype("float32"), r.rand(5, 1).astype("float32")

    def forward_loss():
        text = tf.strings.as_string(model(x), precision=2)  # HERE
        return tf.reduce_mean(tf.square(tf.strings.to_number(text) - y))  # ALSO

    return forward_loss, model.trainable_variables
