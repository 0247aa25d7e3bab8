"""log(softmax(x)) written out: the small probability underflows to zero."""

import tensorflow as tf

EXPECT = {
    "cause": "nan_gradient",
    "op_type": "Log",
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": [],
    "nan_variables": "all",
}


def build():
    w = tf.Variable([[200.0, 0.0, -200.0]], name="w")
    x = tf.constant([[1.0], [2.0]])
    y = tf.constant([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0]])

    def forward_loss():
        p = tf.nn.softmax(x @ w)
        return -tf.reduce_mean(tf.reduce_sum(y * tf.math.log(p), -1))  # HERE

    return forward_loss, [w]
