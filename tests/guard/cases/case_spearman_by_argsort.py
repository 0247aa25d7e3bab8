"""A rank correlation computed with argsort twice."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "TopKV2",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
}


def ranks(t):
    order = tf.argsort(t, axis=-1)  # HERE
    return tf.cast(tf.argsort(order, axis=-1), tf.float32)


def build():
    r = np.random.RandomState(10)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(6, name="scores")])
    x, y = r.rand(3, 4).astype("float32"), np.stack([r.permutation(6) for _ in range(3)]).astype("float32")
    return (lambda: tf.reduce_mean(tf.square(ranks(model(x)) - y))), model.trainable_variables
