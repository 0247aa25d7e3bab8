"""The discriminator's step with stop_gradient on the fakes: the generator is not in the list."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": None,
    "op_type": None,
    "line_marker": None,
    "none_variables": [],
    "healthy_variables": "all",
}


def build():
    r = np.random.RandomState(201)
    gen = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(4, name="g")])
    disc = keras.Sequential(
        [keras.layers.Input((4,)), keras.layers.Dense(5, "tanh", name="d1"), keras.layers.Dense(1, name="d2")]
    )
    z, real = r.randn(6, 2).astype("float32"), r.rand(6, 4).astype("float32")

    def forward_loss():
        fake = tf.stop_gradient(gen(z))
        return tf.reduce_mean(tf.nn.softplus(-disc(real))) + tf.reduce_mean(tf.nn.softplus(disc(fake)))

    return forward_loss, disc.trainable_variables
