"""The cost is computed once, outside; the function passed only returns it."""

import tensorflow as tf

EXPECT = {
    "cause": "outside_tape",
    "op_type": None,
    "line_marker": None,
    "none_variables": "all",
    "healthy_variables": [],
    "accept_markers": ["ALSO"],
}


def build():
    w = tf.Variable([1.0, 2.0, 3.0], name="dd")
    cost = -tf.reduce_mean(tf.math.log(w))  # ALSO
    return (lambda: cost), [w]
