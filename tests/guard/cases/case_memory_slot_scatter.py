"""Slots of a memory variable are written with scatter_nd_update and read by attention."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "stateful_assign",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": ["writer"],
    "healthy_variables": ["query"],
    "accept_markers": ["ALSO"],
}


def build():
    r = np.random.RandomState(85)
    writer = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(4, "tanh", name="writer")])
    query = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(4, name="query")])
    memory = tf.Variable(tf.random.stateless_normal([6, 4], [1, 2]), trainable=False, name="memory")
    x = tf.constant(r.rand(2, 3), tf.float32)

    def forward_loss():
        memory.scatter_nd_update([[0], [1]], writer(x))  # HERE
        attention = tf.nn.softmax(tf.matmul(query(x), memory, transpose_b=True))  # ALSO
        return tf.reduce_mean(tf.square(tf.matmul(attention, memory) - 0.5))  # ALSO

    return forward_loss, writer.trainable_variables + query.trainable_variables
