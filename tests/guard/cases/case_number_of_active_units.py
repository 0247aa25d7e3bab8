"""A sparsity penalty counts the units that are not zero."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "NotEqual",
    "line_marker": "HERE",
    "none_variables": ["code"],
    "healthy_variables": ["dec"],
}


def build():
    r = np.random.RandomState(303)
    code = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(6, "relu", name="code")])
    dec = tf.Variable(1.0, name="dec")
    x = r.randn(6, 4).astype("float32")

    def forward_loss():
        active = tf.math.count_nonzero(code(x), dtype=tf.float32)  # HERE
        return tf.square(dec - 0.1 * active)

    return forward_loss, code.trainable_variables + [dec]
