"""The layer's kernel is frozen in a constant by keras.ops.convert_to_numpy in call()."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "left_tensorflow",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": ["sparse_kernel"],
    "healthy_variables": ["head"],
    "accept_markers": ["ALSO"],
    "graph": "raises:NotImplementedError",
}


class Masked(keras.layers.Layer):
    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 4), initializer="glorot_uniform", name="sparse_kernel")

    def call(self, x):
        kernel = keras.ops.convert_to_numpy(self.kernel)  # HERE
        kernel[np.abs(kernel) < 0.1] = 0.0
        return keras.ops.matmul(x, kernel)  # ALSO


def build():
    r = np.random.RandomState(313)
    masked, head = Masked(), keras.layers.Dense(1, name="head")
    x = tf.constant(r.rand(5, 3), tf.float32)
    head(masked(x))
    return (
        lambda: tf.reduce_mean(tf.square(head(masked(x)) - 1.0))
    ), masked.trainable_variables + head.trainable_variables
