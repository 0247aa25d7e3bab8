"""A saliency map: the input is a constant and nobody watches it."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "outside_tape",
    "op_type": None,
    "line_marker": None,
    "none_variables": ["tensor"],
    "healthy_variables": ["out"],
    "accept_causes": ["not_trainable", "not_used"],
}


def build():
    r = np.random.RandomState(60)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2, name="out")])
    x = tf.constant(r.rand(3, 4), tf.float32)
    return (lambda: tf.reduce_sum(model(x)[:, 0])), [x, *model.trainable_variables]
