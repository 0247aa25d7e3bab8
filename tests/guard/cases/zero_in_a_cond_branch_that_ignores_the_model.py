"""Inside a tf.function, tf.cond takes the branch without the model: TensorFlow answers zeros."""

import tensorflow as tf

EXPECT = {
    "cause": "zero_gradient",
    "op_type": None,
    "line_marker": None,
    "none_variables": [],
    "healthy_variables": ["v"],
    "zero_variables": ["w"],
    "accept_causes": ["not_used"],
    "accept_ops": ["If", "StatelessIf"],
}


def build():
    w, v = tf.Variable([1.0, 2.0], name="w"), tf.Variable(3.0, name="v")
    warm = tf.Variable(False, trainable=False, name="warm")

    @tf.function
    def forward_loss():
        extra = tf.cond(warm, lambda: tf.reduce_sum(tf.square(w)), lambda: tf.constant(0.0))
        return extra + tf.square(v)

    return forward_loss, [w, v]
