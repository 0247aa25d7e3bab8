"""Connectionist temporal classification."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": None,
    "op_type": None,
    "line_marker": None,
    "none_variables": [],
    "healthy_variables": "all",
}


def build():
    r = np.random.RandomState(231)
    model = keras.Sequential([keras.layers.Input((6, 3)), keras.layers.Dense(4, name="logits")])
    x, labels = r.rand(2, 6, 3).astype("float32"), tf.constant([[1, 2], [2, 1]])

    def forward_loss():
        return tf.reduce_mean(tf.nn.ctc_loss(labels, model(x), [2, 2], [6, 6], logits_time_major=False, blank_index=0))

    return forward_loss, model.trainable_variables
