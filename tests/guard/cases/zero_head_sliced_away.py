"""Two heads are concatenated, and a slice keeps the first one only."""

import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "zero_gradient",
    "op_type": "StridedSlice",
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": ["first"],
    "zero_variables": ["second"],
    "accept_ops": ["ConcatV2", "Slice"],
    "accept_markers": ["ALSO"],
}


def build():
    r = np.random.RandomState(340)
    first, second = (
        tf.Variable(r.randn(4, 2).astype("float32"), name="first"),
        tf.Variable(r.randn(4, 2).astype("float32"), name="second"),
    )
    x = tf.constant(r.rand(5, 4), tf.float32)

    def forward_loss():
        both = tf.concat([x @ first, x @ second], -1)  # ALSO
        kept = both[:, :2]  # HERE
        return tf.reduce_mean(tf.square(kept - 1.0))

    return forward_loss, [first, second]
