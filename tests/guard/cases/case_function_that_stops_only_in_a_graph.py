"""A helper stops the gradient where it is traced, and not where it runs eagerly."""

import tensorflow as tf

EXPECT = {
    "cause": "stop_gradient",
    "op_type": "StopGradient",
    "line_marker": "HERE",
    "none_variables": ["w"],
    "healthy_variables": ["b"],
    "op_in_nested": True,
}


@tf.function
def doubled(w):
    y = w * 2.0
    if tf.inside_function():
        y = tf.stop_gradient(y)  # HERE
    return y


def build():
    w, b = tf.Variable([0.5, 0.2], name="w"), tf.Variable([0.1, 0.3], name="b")
    return (lambda: tf.reduce_sum(tf.square(doubled(w) + b))), [w, b]
