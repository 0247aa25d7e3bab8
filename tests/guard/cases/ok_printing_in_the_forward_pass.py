"""float(), .numpy() and tf.print are used for logging only."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": None,
    "op_type": None,
    "line_marker": None,
    "none_variables": [],
    "healthy_variables": "all",
    "graph": "raises:AttributeError",
}


def build():
    r = np.random.RandomState(239)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2, name="out")])
    x, y = r.rand(5, 4).astype("float32"), r.rand(5, 2).astype("float32")
    log = []

    def forward_loss():
        loss = tf.reduce_mean(tf.square(model(x) - y))
        log.append(float(loss.numpy()))
        return loss

    return forward_loss, model.trainable_variables
