"""BYOL with stop_gradient on both sides: nothing learns."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "stop_gradient",
    "op_type": "StopGradient",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "accept_markers": ["ALSO"],
}


def build():
    r = np.random.RandomState(92)
    online = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3, name="online")])
    v1, v2 = r.rand(5, 4).astype("float32"), r.rand(5, 4).astype("float32")

    def forward_loss():
        z1 = tf.stop_gradient(tf.math.l2_normalize(online(v1), -1))  # HERE
        z2 = tf.stop_gradient(tf.math.l2_normalize(online(v2), -1))  # ALSO
        return 2.0 - 2.0 * tf.reduce_mean(tf.reduce_sum(z1 * z2, -1))

    return forward_loss, online.trainable_variables
