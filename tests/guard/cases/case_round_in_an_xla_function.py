"""The loss is compiled with XLA; its rounding is found all the same."""

import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "Round",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "op_in_nested": True,
    "accept_ops": ["PartitionedCall", "StatefulPartitionedCall"],
}


@tf.function(jit_compile=True)
def loss_fn(y_true, y_pred):
    hard = tf.round(y_pred)  # HERE
    return tf.reduce_mean(tf.square(hard - y_true))


def build():
    r = np.random.RandomState(37)
    w = tf.Variable(r.randn(4, 2).astype("float32"), name="w")
    x, y = tf.constant(r.rand(5, 4), tf.float32), tf.constant(r.rand(5, 2), tf.float32)
    return (lambda: loss_fn(y, x @ w)), [w]
