"""DQN: the target network is read under stop_gradient, the action is an argmax, and the online network learns."""

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


def make(tag):
    first, second = keras.layers.Dense(6, "tanh", name=f"{tag}1"), keras.layers.Dense(3, name=f"{tag}2")
    return keras.Sequential([keras.layers.Input((4,)), first, second])


def build():
    r = np.random.RandomState(203)
    online, target = make("online"), make("target")
    s, s2, reward = r.rand(5, 4).astype("float32"), r.rand(5, 4).astype("float32"), r.rand(5).astype("float32")
    action = tf.constant([0, 2, 1, 1, 0])

    def forward_loss():
        best = tf.argmax(online(s2), -1)
        goal = tf.stop_gradient(reward + 0.9 * tf.gather(target(s2), best, batch_dims=1))
        value = tf.gather(online(s), action, batch_dims=1)
        return tf.reduce_mean(tf.square(goal - value))

    return forward_loss, online.trainable_variables
