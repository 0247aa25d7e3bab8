"""The number of boxes kept by boolean_mask is penalised through tf.shape."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "accept_causes": ["constant_loss", "not_used"],
    "accept_markers": ["ALSO"],
}


def build():
    r = np.random.RandomState(424)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(8, "sigmoid", name="scores")])
    x = r.rand(2, 4).astype("float32")

    def forward_loss():
        scores = model(x)
        kept = tf.boolean_mask(scores, scores > 0.5)  # HERE
        return tf.cast(tf.shape(kept)[0], tf.float32) / 16.0  # ALSO

    return forward_loss, model.trainable_variables
