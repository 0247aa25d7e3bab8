"""A table that is to be learned was made of whole numbers."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "integer_cast",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": ["table"],
    "healthy_variables": ["head"],
}


def build():
    r = np.random.RandomState(414)
    table = tf.Variable([[1, 2], [3, 4], [5, 6]], name="table")  # HERE
    head = keras.layers.Dense(1, name="head")
    head.build((None, 2))
    ids, y = tf.constant(r.randint(0, 3, 5)), tf.constant(r.rand(5, 1), tf.float32)

    def forward_loss():
        rows = tf.gather(table, ids)
        return tf.reduce_mean(tf.square(head(tf.cast(rows, tf.float32)) - y))

    return forward_loss, [table, *head.trainable_variables]
