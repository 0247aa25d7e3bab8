"""forward_loss returns the loss with its value as a float, for a log."""

import tensorflow as tf

EXPECT = {
    "cause": "left_tensorflow",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": [],
    "raises": "TypeError",
}


def build():
    w = tf.Variable([0.5, 0.2], name="w")

    def forward_loss():
        loss = tf.reduce_sum(tf.square(w))
        return loss, {"loss": float(loss)}  # HERE

    return forward_loss, [w]
