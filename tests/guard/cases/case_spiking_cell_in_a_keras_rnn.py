"""A spiking cell thresholds its membrane potential inside keras.layers.RNN."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "Greater",
    "line_marker": "HERE",
    "none_variables": ["spike_in"],
    "healthy_variables": ["read_out"],
    "op_in_nested": True,
    "graph": "zero",
    "accept_ops": ["While", "StatelessWhile"],
}


class Spiking(keras.layers.Layer):
    state_size, output_size = 3, 3

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 3), initializer="glorot_uniform", name="kernel")

    def call(self, x, states):
        potential = 0.9 * states[0] + keras.ops.matmul(x, self.kernel)
        spikes = keras.ops.cast(potential > 0.1, "float32")  # HERE
        return spikes, [spikes]


def build():
    r = np.random.RandomState(308)
    model = keras.Sequential(
        [
            keras.layers.Input((4, 2)),
            keras.layers.RNN(Spiking(), name="spike_in"),
            keras.layers.Dense(1, name="read_out"),
        ]
    )
    x, y = r.rand(3, 4, 2).astype("float32"), r.rand(3, 1).astype("float32")
    return (lambda: tf.reduce_mean(tf.square(model(x) - y))), model.trainable_variables
