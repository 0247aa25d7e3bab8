"""WGAN-GP: an inner tape differentiates the critic by its input, under the outer tape."""

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
    r = np.random.RandomState(202)
    critic = keras.Sequential(
        [keras.layers.Input((4,)), keras.layers.Dense(5, "tanh", name="c1"), keras.layers.Dense(1, name="c2")]
    )
    mixed = tf.constant(r.rand(6, 4), tf.float32)

    def forward_loss():
        with tf.GradientTape() as inner:
            inner.watch(mixed)
            score = critic(mixed)
        slope = inner.gradient(score, mixed)
        penalty = tf.reduce_mean(tf.square(tf.norm(slope, axis=-1) - 1.0))
        return tf.reduce_mean(score) + 10.0 * penalty

    return forward_loss, critic.trainable_variables
