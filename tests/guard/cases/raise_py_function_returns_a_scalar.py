"""tf.py_function with NumPy inside: its gradient is a scalar zero, which the layer before it cannot take."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "left_tensorflow",
    "op_type": "EagerPyFunc",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "raises": "InvalidArgumentError",
    "accept_ops": ["PyFunc"],
}


def soft_count(t):
    return np.float32(np.tanh(t.numpy()).sum())


def build():
    r = np.random.RandomState(109)
    model = keras.Sequential(
        [keras.layers.Input((4,)), keras.layers.Dense(3, name="a"), keras.layers.Dense(2, name="b")]
    )
    x = r.rand(5, 4).astype("float32")

    def forward_loss():
        count = tf.py_function(soft_count, [model(x)], tf.float32)  # HERE
        return tf.square(count - 1.0)

    return forward_loss, model.trainable_variables
