"""REINFORCE: the action is sampled, its log-probability is differentiated."""

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
    r = np.random.RandomState(204)
    policy = keras.Sequential(
        [keras.layers.Input((4,)), keras.layers.Dense(6, "tanh", name="p1"), keras.layers.Dense(3, name="p2")]
    )
    states, reward = r.rand(5, 4).astype("float32"), tf.constant(r.rand(5), tf.float32)

    def forward_loss():
        logits = policy(states)
        action = tf.random.categorical(logits, 1)[:, 0]
        log_prob = tf.gather(tf.nn.log_softmax(logits), action, batch_dims=1)
        return -tf.reduce_mean(reward * log_prob)

    return forward_loss, policy.trainable_variables
