"""A pointer network gathers with a rounded, cast index; the table and the values learn."""

import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "Round",
    "line_marker": "HERE",
    "none_variables": ["pointer"],
    "healthy_variables": ["table"],
    "accept_ops": ["Cast"],
    "accept_causes": ["integer_cast"],
}


def build():
    pointer = tf.Variable([1.2, 2.7], name="pointer")
    table = tf.Variable([1.0, 2.0, 3.0, 4.0], name="table")

    def forward_loss():
        rows = tf.gather(table, tf.cast(tf.round(pointer), tf.int32))  # HERE
        return tf.reduce_sum(tf.square(rows - 1.0)) + tf.reduce_sum(tf.square(table))

    return forward_loss, [pointer, table]
