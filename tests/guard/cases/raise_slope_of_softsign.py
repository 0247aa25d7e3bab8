"""A residual takes the derivative of softsign, which has none of its own: one op, met on two ways, is one finding."""

import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "SoftsignGrad",
    "line_marker": "HERE",
    "none_variables": ["w", "v"],
    "healthy_variables": [],
    "raises": "LookupError",
}


def build():
    w, v = tf.Variable([[0.5, -0.8]], name="w"), tf.Variable([[0.3], [0.9]], name="v")
    x = tf.constant([[0.1], [0.6]])

    def forward_loss():
        with tf.GradientTape() as tape:
            tape.watch(x)
            u = tf.nn.softsign(x @ w) @ v
        slope = tape.gradient(u, x)  # HERE
        return tf.reduce_mean(tf.square(slope - 1.0))

    return forward_loss, [w, v]
