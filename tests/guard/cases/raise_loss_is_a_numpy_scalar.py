"""forward_loss returns loss.numpy(); the tape cannot differentiate a NumPy scalar."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "left_tensorflow",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": [],
    "raises": "AttributeError",
    "graph": "raises:AttributeError",
}


def build():
    r = np.random.RandomState(108)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2, name="out")])
    x = r.rand(5, 4).astype("float32")

    def forward_loss():
        loss = tf.reduce_mean(tf.square(model(x) - 1.0))
        return loss.numpy()  # HERE

    return forward_loss, model.trainable_variables
