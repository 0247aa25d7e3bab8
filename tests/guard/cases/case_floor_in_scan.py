"""A recurrent quantiser in tf.scan floors its state, so the input's encoder gets nothing."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "Floor",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "graph": "zero",
    "op_in_nested": True,
    "accept_ops": ["While", "StatelessWhile"],
}


def build():
    r = np.random.RandomState(24)
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2, name="enc")])
    x = r.rand(4, 3).astype("float32")

    def step(state, value):
        return tf.floor(state + value * 3.0)  # HERE

    def forward_loss():
        states = tf.scan(step, model(x), initializer=tf.zeros([2]))
        return tf.reduce_mean(tf.square(states - 1.0))

    return forward_loss, model.trainable_variables
