"""A counter is assigned in the forward pass and scales the loss (warm-up)."""

import tensorflow as tf

EXPECT = {
    "cause": None,
    "op_type": None,
    "line_marker": None,
    "none_variables": [],
    "healthy_variables": "all",
}


def build():
    w = tf.Variable([1.0, 2.0], name="w")
    step = tf.Variable(3, trainable=False, dtype=tf.int64, name="step")

    def forward_loss():
        step.assign_add(1)
        return tf.reduce_sum(tf.square(w - 0.5)) * tf.minimum(tf.cast(step, tf.float32) / 10.0, 1.0)

    return forward_loss, [w]
