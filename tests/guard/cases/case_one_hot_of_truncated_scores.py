"""Scores are truncated to ids and one-hot encoded."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "integer_cast",
    "op_type": "Cast",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "accept_ops": ["OneHot"],
    "accept_causes": ["non_differentiable_op"],
}


def build():
    r = np.random.RandomState(33)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1, "sigmoid", name="score")])
    x, y = r.rand(6, 4).astype("float32"), r.randint(0, 3, 6)

    def forward_loss():
        one_hot = tf.one_hot(tf.cast(model(x)[:, 0] * 3.0, tf.int32), 3)  # HERE
        return tf.reduce_mean(tf.square(one_hot - tf.one_hot(y, 3)))

    return forward_loss, model.trainable_variables
