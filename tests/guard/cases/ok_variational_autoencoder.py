"""A VAE with the reparametrisation trick, its KL term by add_loss in a layer."""

import keras
import numpy as np

EXPECT = {
    "cause": None,
    "op_type": None,
    "line_marker": None,
    "none_variables": [],
    "healthy_variables": "all",
}


class Sampling(keras.layers.Layer):
    def call(self, inputs):
        mean, log_var = inputs
        self.add_loss(-0.5 * keras.ops.mean(1.0 + log_var - keras.ops.square(mean) - keras.ops.exp(log_var)))
        return mean + keras.ops.exp(0.5 * log_var) * keras.random.normal(keras.ops.shape(mean), seed=3)


def build():
    r = np.random.RandomState(209)
    inp = keras.Input((5,))
    h = keras.layers.Dense(6, "tanh", name="h")(inp)
    z = Sampling()([keras.layers.Dense(2, name="mean")(h), keras.layers.Dense(2, name="log_var")(h)])
    model = keras.Model(inp, keras.layers.Dense(5, "sigmoid", name="out")(z))
    x = r.rand(6, 5).astype("float32")
    return (
        lambda: keras.losses.MeanSquaredError()(x, model(x, training=True)) + sum(model.losses)
    ), model.trainable_variables
