"""Fast weights start as tf.stop_gradient(variable): the variable is read after the tape was stopped for it."""

import tensorflow as tf

EXPECT = {
    "cause": "stop_gradient",
    "op_type": "StopGradient",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
}


def build():
    w, b = tf.Variable([[0.3], [0.8]], name="w"), tf.Variable([0.1], name="b")
    x, y = tf.constant([[1.0, 2.0], [0.5, 1.5]]), tf.constant([[1.0], [0.0]])

    def error(fast):
        return tf.reduce_mean(tf.square(x @ fast[0] + fast[1] - y))

    def forward_loss():
        fast = [tf.stop_gradient(variable) for variable in (w, b)]  # HERE
        with tf.GradientTape() as tape:
            tape.watch(fast)
            inner = error(fast)
        fast = [part - 0.1 * slope for part, slope in zip(fast, tape.gradient(inner, fast), strict=True)]
        return error(fast)

    return forward_loss, [w, b]
