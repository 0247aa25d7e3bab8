"""Shot noise is drawn from the predicted intensity."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "RandomPoissonV2",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "raises": "LookupError",
    "accept_ops": ["StatelessRandomPoisson"],
}


def build():
    r = np.random.RandomState(12)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(6, "softplus", name="rate")])
    x, y = r.rand(5, 4).astype("float32"), r.rand(5, 6).astype("float32")

    def forward_loss():
        photons = tf.random.poisson([], model(x) * 10.0)  # HERE
        return tf.reduce_mean(tf.square(photons / 10.0 - y))

    return forward_loss, model.trainable_variables
