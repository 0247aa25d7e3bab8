"""The encoder's output is cached in the first call, which a warm-up made, and returned ever after."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "outside_tape",
    "op_type": None,
    "line_marker": None,
    "none_variables": ["cached"],
    "healthy_variables": ["head"],
    "accept_causes": ["not_used"],
    "accept_markers": ["ALSO"],
}


def build():
    r = np.random.RandomState(323)
    enc = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3, name="cached")])
    head = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1, name="head")])
    x, memory = tf.constant(r.rand(5, 4), tf.float32), {}

    def encode():
        if "codes" not in memory:
            memory["codes"] = enc(x)  # ALSO
        return memory["codes"]

    def forward_loss():
        return tf.reduce_mean(tf.square(head(encode()) - 1.0))

    forward_loss()
    return forward_loss, enc.trainable_variables + head.trainable_variables
