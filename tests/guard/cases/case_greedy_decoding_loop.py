"""A decoder feeds back the argmax token and compares one-hot tokens: teacher forcing was forgotten."""

import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "ArgMax",
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": [],
    "zero_variables": "all",
    "op_in_nested": True,
    "accept_ops": ["While", "StatelessWhile"],
}


@tf.function
def decode(table, kernel, target, steps):
    token = tf.zeros([2], tf.int64)
    error = tf.constant(0.0)
    for t in tf.range(steps):
        logits = tf.matmul(tf.gather(table, token), kernel)
        token = tf.argmax(logits, axis=-1)  # HERE
        error += tf.reduce_mean(tf.square(tf.one_hot(token, 4) - tf.one_hot(target[:, t], 4)))
    return error


def build():
    r = np.random.RandomState(26)
    table = tf.Variable(r.randn(4, 3).astype("float32"), name="table")
    kernel = tf.Variable(r.randn(3, 4).astype("float32"), name="kernel")
    target = tf.constant(r.randint(0, 4, (2, 3)))
    return (lambda: decode(table, kernel, target, tf.constant(3))), [table, kernel]
