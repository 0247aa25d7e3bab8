"""Reinforcement learning: the sampled action itself, not its log-probability, is multiplied with the reward."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "Multinomial",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "accept_ops": ["StatelessMultinomial"],
}


def build():
    r = np.random.RandomState(11)
    policy = keras.Sequential(
        [keras.layers.Input((4,)), keras.layers.Dense(8, "tanh", name="pi1"), keras.layers.Dense(3, name="pi2")]
    )
    states, reward = r.rand(5, 4).astype("float32"), tf.constant(r.rand(5), tf.float32)

    def forward_loss():
        action = tf.random.categorical(policy(states), 1)[:, 0]  # HERE
        return -tf.reduce_mean(reward * tf.cast(action, tf.float32))

    return forward_loss, policy.trainable_variables
