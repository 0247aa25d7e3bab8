"""w = w - rate * gradient makes a tensor of the variable; the list still holds the variable."""

import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "outside_tape",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": ["w"],
    "healthy_variables": ["b"],
    "accept_causes": ["variable_replaced"],
}


def build():
    r = np.random.RandomState(412)
    x, y = tf.constant(r.rand(6, 3), tf.float32), tf.constant(r.rand(6, 1), tf.float32)
    w = tf.Variable(r.rand(3, 1).astype("float32"), name="w")
    b = tf.Variable([0.5], name="b")
    variables = [w, b]
    with tf.GradientTape() as tape:
        first = tf.reduce_mean(tf.square(x @ w + b - y))
    slope_w, slope_b = tape.gradient(first, variables)
    w = w - 0.1 * slope_w  # HERE
    b.assign_sub(0.1 * slope_b)

    def forward_loss():
        return tf.reduce_mean(tf.square(x @ w + b - y))  # ALSO

    return forward_loss, variables
