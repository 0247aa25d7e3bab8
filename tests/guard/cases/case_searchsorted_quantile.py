"""Values are replaced by the index of their bin."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "LowerBound",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "accept_ops": ["UpperBound", "SearchSorted"],
}


def build():
    r = np.random.RandomState(20)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3, "sigmoid", name="value")])
    x, y = r.rand(5, 4).astype("float32"), r.randint(0, 4, (5, 3)).astype("float32")
    edges = tf.tile(tf.constant([[0.25, 0.5, 0.75]]), [5, 1])

    def forward_loss():
        level = tf.searchsorted(edges, model(x))  # HERE
        return tf.reduce_mean(tf.square(tf.cast(level, tf.float32) - y))

    return forward_loss, model.trainable_variables
