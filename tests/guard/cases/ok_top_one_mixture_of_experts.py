"""Switch routing: the expert is an argmax, the gate learns by its own probability times the output."""

import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": None,
    "op_type": None,
    "line_marker": None,
    "none_variables": [],
    "healthy_variables": "all",
}


def build():
    r = np.random.RandomState(225)
    gate = tf.Variable(r.randn(4, 2).astype("float32") * 3.0, name="gate")
    experts = tf.Variable(r.randn(2, 4, 3).astype("float32"), name="experts")
    x = tf.constant(r.randn(12, 4), tf.float32)

    def forward_loss():
        p = tf.nn.softmax(x @ gate)
        best = tf.argmax(p, -1)
        out = tf.einsum("bi,bio->bo", x, tf.gather(experts, best))
        return tf.reduce_mean(tf.square(out * tf.gather(p, best, batch_dims=1)[:, None] - 1.0))

    return forward_loss, [gate, experts]
