"""layer.set_weights() with the output of another network."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "left_tensorflow",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": ["hyper"],
    "healthy_variables": ["top"],
    "accept_causes": ["stateful_assign"],
    "accept_markers": ["ALSO"],
    "graph": "raises:NotImplementedError",
}


def build():
    r = np.random.RandomState(319)
    hyper = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(12, name="hyper")])
    target = keras.layers.Dense(3, use_bias=False, trainable=False, name="target")
    target.build((None, 4))
    top = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1, name="top")])
    z, x = tf.constant(r.rand(1, 2), tf.float32), r.rand(5, 4).astype("float32")

    def forward_loss():
        kernel = np.reshape(hyper(z), [4, 3])  # ALSO
        target.set_weights([kernel])  # HERE
        return tf.reduce_mean(tf.square(top(target(x)) - 1.0))

    return forward_loss, hyper.trainable_variables + top.trainable_variables
