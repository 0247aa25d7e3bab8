"""PPO with some ratios inside the range."""

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
    r = np.random.RandomState(430)
    policy = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3, name="policy")])
    x = r.rand(8, 4).astype("float32")
    action = tf.constant(r.randint(0, 3, 8))
    advantage = tf.constant(r.randn(8), tf.float32)

    def forward_loss():
        log_prob = tf.gather(tf.nn.log_softmax(policy(x)), action, batch_dims=1)
        ratio = tf.exp(log_prob - tf.stop_gradient(log_prob))
        return -tf.reduce_mean(tf.minimum(ratio * advantage, tf.clip_by_value(ratio, 0.8, 1.2) * advantage))

    return forward_loss, policy.trainable_variables
