"""tf.py_function whose body is TensorFlow: its gradient flows."""

import tensorflow as tf

EXPECT = {
    "cause": None,
    "op_type": None,
    "line_marker": None,
    "none_variables": [],
    "healthy_variables": "all",
}


def build():
    w = tf.Variable([0.5, 1.5], name="w")

    def inside(t):
        return tf.reduce_sum(tf.square(t) + tf.sin(t))

    return (lambda: tf.square(tf.py_function(inside, [w * 2.0], tf.float32) - 1.0)), [w]
