"""A model's loss compiled with XLA."""

import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": None,
    "op_type": None,
    "line_marker": None,
    "none_variables": [],
    "healthy_variables": "all",
}


@tf.function(jit_compile=True)
def loss_fn(y_true, y_pred):
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(y_true, y_pred))


def build():
    r = np.random.RandomState(229)
    w = tf.Variable(r.randn(4, 1).astype("float32"), name="w")
    x, y = tf.constant(r.rand(5, 4), tf.float32), tf.constant((r.rand(5, 1) > 0.5).astype("float32"))
    return (lambda: loss_fn(y, x @ w)), [w]
