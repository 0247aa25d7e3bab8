"""The state is detached between segments; the weights learn from every segment."""

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
    r = np.random.RandomState(237)
    w, u = (
        tf.Variable(r.randn(3, 3).astype("float32"), name="w"),
        tf.Variable(r.randn(2, 3).astype("float32"), name="u"),
    )
    x = tf.constant(r.rand(6, 4, 2), tf.float32)

    def forward_loss():
        state, loss = tf.zeros([4, 3]), 0.0
        for t in range(6):
            if t % 3 == 0:
                state = tf.stop_gradient(state)
            state = tf.tanh(x[t] @ u + state @ w)
            loss += tf.reduce_mean(tf.square(state - 0.5))
        return loss

    return forward_loss, [w, u]
