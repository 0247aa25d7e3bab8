"""After x = x + 1 the list holds a tensor, which no tape watches."""

import tensorflow as tf

EXPECT = {
    "cause": "outside_tape",
    "op_type": None,
    "line_marker": None,
    "none_variables": "all",
    "healthy_variables": [],
    "accept_causes": ["not_trainable", "variable_replaced", "not_used"],
}


def build():
    x = tf.Variable(2.0, name="x")
    x = x + 1.0
    return (lambda: tf.square(x)), [x]
