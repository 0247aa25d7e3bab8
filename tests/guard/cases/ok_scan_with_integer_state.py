"""tf.scan whose state has an integer counter beside the float."""

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
    r = np.random.RandomState(214)
    w = tf.Variable(r.randn(3, 3).astype("float32"), name="w")
    x = tf.constant(r.rand(4, 3), tf.float32)

    def step(state, row):
        count, h = state
        return count + 1, tf.tanh(tf.linalg.matvec(w, h) + row)

    def forward_loss():
        counts, hs = tf.scan(step, x, initializer=(tf.constant(0), tf.ones([3])))
        return tf.reduce_sum(tf.square(hs)) / tf.cast(counts[-1], tf.float32)

    return forward_loss, [w]
