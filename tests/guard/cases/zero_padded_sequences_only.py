"""Every sequence of the batch is padding, so the masked mean keeps nothing."""

import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "zero_gradient",
    "op_type": "Mul",
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": ["out"],
    "zero_variables": ["emb", "proj/kernel"],
    "accept_ops": ["MatMul", "BatchMatMulV2"],
}


def build():
    r = np.random.RandomState(404)
    emb, proj = (
        tf.Variable(r.randn(6, 3).astype("float32"), name="emb"),
        tf.Variable(r.randn(3, 2).astype("float32"), name="proj/kernel"),
    )
    out = tf.Variable([0.1, 0.2], name="out")
    ids = tf.zeros([2, 4], tf.int32)

    def forward_loss():
        mask = tf.cast(ids > 0, tf.float32)[..., None]
        states = (tf.gather(emb, ids) @ proj) * mask  # HERE
        mean = tf.reduce_sum(states, 1) / (tf.reduce_sum(mask, 1) + 1e-6)
        return tf.reduce_mean(tf.square(mean + out - 1.0))

    return forward_loss, [emb, proj, out]
