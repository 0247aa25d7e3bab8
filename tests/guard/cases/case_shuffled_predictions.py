"""tf.random.shuffle mixes the predictions, to decorrelate them."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "RandomShuffle",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
}


def build():
    r = np.random.RandomState(302)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2, name="out")])
    x = r.rand(6, 4).astype("float32")

    def forward_loss():
        mixed = tf.random.shuffle(model(x))  # HERE
        return tf.reduce_mean(tf.square(mixed - 0.5))

    return forward_loss, model.trainable_variables
