"""Some units of a ReLU are dead, some values clipped, some pixels ignored: that is ordinary."""

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
    r = np.random.RandomState(236)
    a, b = (
        tf.Variable(r.randn(4, 8).astype("float32"), name="a"),
        tf.Variable(r.randn(8, 1).astype("float32"), name="b"),
    )
    x = tf.constant(r.randn(10, 4), tf.float32)
    mask = tf.constant((r.rand(10, 1) > 0.5).astype("float32"))

    def forward_loss():
        out = tf.clip_by_value(tf.nn.relu(x @ a) @ b, -1.0, 1.0)
        return tf.reduce_sum(tf.square(out - 0.2) * mask) / tf.reduce_sum(mask)

    return forward_loss, [a, b]
