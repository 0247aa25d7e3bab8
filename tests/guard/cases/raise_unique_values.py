"""tf.unique removes duplicates from the prediction: no gradient is registered, tape.gradient raises."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "Unique",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "raises": "LookupError",
}


def build():
    r = np.random.RandomState(100)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3, name="out")])
    x = r.rand(5, 4).astype("float32")

    def forward_loss():
        values, _ = tf.unique(tf.reshape(model(x), [-1]))  # HERE
        return tf.reduce_mean(tf.square(values))

    return forward_loss, model.trainable_variables
