"""A Bayesian layer draws its kernel in build(): mean and deviation are never seen by a tape."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "outside_tape",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": ["mu", "rho"],
    "healthy_variables": ["out"],
    "accept_causes": ["variable_replaced"],
}


class Bayesian(keras.layers.Layer):
    def build(self, shape):
        self.mu = self.add_weight(shape=(shape[-1], 2), initializer="glorot_uniform", name="mu")
        self.rho = self.add_weight(shape=(shape[-1], 2), initializer="zeros", name="rho")
        self.kernel = self.mu + tf.nn.softplus(self.rho) * tf.random.normal((shape[-1], 2))  # HERE

    def call(self, x):
        return x @ self.kernel  # ALSO


def build():
    r = np.random.RandomState(410)
    model = keras.Sequential([Bayesian(name="bayes"), keras.layers.Dense(1, name="out")])
    x, y = r.rand(5, 4).astype("float32"), r.rand(5, 1).astype("float32")
    model(x)
    return (lambda: tf.reduce_mean(tf.square(model(x) - y))), model.trainable_variables
