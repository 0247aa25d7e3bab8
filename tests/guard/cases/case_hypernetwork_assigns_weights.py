"""A hypernetwork assigns the weights it predicts to another layer."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "stateful_assign",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": ["hyper"],
    "healthy_variables": ["readout"],
    "accept_markers": ["ALSO"],
}


def build():
    r = np.random.RandomState(89)
    hyper = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(12, name="hyper")])
    target = keras.layers.Dense(3, use_bias=False, trainable=False, name="target")
    target.build((None, 4))
    readout = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1, name="readout")])
    z, x = tf.constant(r.rand(1, 2), tf.float32), r.rand(5, 4).astype("float32")

    def forward_loss():
        target.kernel.assign(tf.reshape(hyper(z), [4, 3]))  # HERE
        return tf.reduce_mean(tf.square(readout(target(x)) - 1.0))  # ALSO

    return forward_loss, hyper.trainable_variables + readout.trainable_variables
