"""One variable only feeds an argmax, another is not trainable, a third is fine."""

import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "ArgMax",
    "line_marker": "HERE",
    "none_variables": ["router", "fixed"],
    "healthy_variables": ["free"],
    "accept_causes": ["not_trainable"],
    "causes_by_variable": {"router": "non_differentiable_op", "fixed": "not_trainable"},
}


def build():
    r = np.random.RandomState(97)
    router = tf.Variable(r.randn(4, 3).astype("float32"), name="router")
    fixed = tf.Variable(1.5, trainable=False, name="fixed")
    free = tf.Variable([1.0, 2.0, 3.0], name="free")
    x = tf.constant(r.rand(5, 4), tf.float32)

    def forward_loss():
        route = tf.argmax(x @ router, axis=-1)  # HERE
        return tf.reduce_mean(tf.square(tf.gather(free, route) * fixed - 1.0))

    return forward_loss, [router, fixed, free]
