"""Python looks at the value of the loss to choose a branch; both stay in TensorFlow."""

import tensorflow as tf

EXPECT = {
    "cause": None,
    "op_type": None,
    "line_marker": None,
    "none_variables": [],
    "healthy_variables": "all",
}


def build():
    w = tf.Variable([2.0, 3.0], name="w")

    def forward_loss():
        loss = tf.reduce_sum(tf.square(w))
        if loss > 100.0:
            loss = 0.1 * loss
        return tf.math.log(loss)

    return forward_loss, [w]
