"""The branch of tf.cond that is taken thresholds the prediction."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "Greater",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "op_in_nested": True,
    "accept_ops": ["If", "StatelessIf"],
}


def build():
    r = np.random.RandomState(25)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1, "sigmoid", name="p")])
    x, y = r.rand(5, 4).astype("float32"), (r.rand(5, 1) > 0.5).astype("float32")
    hard = tf.constant(True)

    def forward_loss():
        p = model(x)

        def binary():
            return tf.cast(p > 0.5, tf.float32)  # HERE

        out = tf.cond(hard, binary, lambda: tf.zeros_like(p))
        return tf.reduce_mean(tf.square(out - y))

    return forward_loss, model.trainable_variables
