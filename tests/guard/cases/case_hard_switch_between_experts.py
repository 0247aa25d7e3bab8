"""The expert is chosen by the argmax of a gate in tf.switch_case: the gate never learns."""

import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "ArgMax",
    "line_marker": "HERE",
    "none_variables": ["gate"],
    "healthy_variables": ["shared"],
}


def build():
    r = np.random.RandomState(27)
    gate = tf.Variable(r.randn(4, 3).astype("float32"), name="gate")
    shared = tf.Variable(r.randn(4, 1).astype("float32"), name="shared")
    x = tf.constant(r.rand(1, 4), tf.float32)

    def forward_loss():
        which = tf.argmax(tf.matmul(x, gate)[0], output_type=tf.int32)  # HERE
        out = tf.switch_case(which, [lambda: x @ shared, lambda: tf.tanh(x @ shared), lambda: 2.0 * (x @ shared)])
        return tf.reduce_mean(tf.square(out - 1.0))

    return forward_loss, [gate, shared]
