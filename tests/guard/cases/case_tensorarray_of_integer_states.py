"""States are written to an integer TensorArray, cast on the way."""

import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "integer_cast",
    "op_type": "Cast",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "accept_markers": ["ALSO"],
}


def build():
    r = np.random.RandomState(425)
    w = tf.Variable(r.randn(3, 3).astype("float32"), name="w")
    x = tf.constant(r.rand(4, 2, 3), tf.float32)

    def forward_loss():
        states = tf.TensorArray(tf.int32, 4)
        for t in range(4):
            states = states.write(t, tf.cast(10.0 * x[t] @ w, tf.int32))  # HERE
        return tf.reduce_mean(tf.square(tf.cast(states.stack(), tf.float32) / 10.0 - 1.0))  # ALSO

    return forward_loss, [w]
