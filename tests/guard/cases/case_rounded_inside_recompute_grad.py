"""A checkpointed block rounds its input."""

import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "Round",
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": ["after"],
    "zero_variables": ["before"],
    "accept_ops": ["IdentityN"],
    "accept_markers": ["ALSO"],
    "accept_causes": ["custom_gradient_none", "zero_gradient"],
}


def build():
    r = np.random.RandomState(320)
    before = tf.Variable(r.randn(4, 3).astype("float32"), name="before")
    after = tf.Variable(r.randn(3, 1).astype("float32"), name="after")
    x = tf.constant(r.rand(5, 4), tf.float32)

    @tf.recompute_grad
    def block(h):
        return tf.round(h * 3.0) @ after  # HERE

    def forward_loss():
        return tf.reduce_mean(tf.square(block(x @ before) - 1.0))  # ALSO

    return forward_loss, [before, after]
