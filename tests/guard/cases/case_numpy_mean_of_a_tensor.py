"""np.mean silently turns an eager tensor into a NumPy number, inside tf.function it raises."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "left_tensorflow",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "graph": "raises:NotImplementedError",
}


def build():
    r = np.random.RandomState(50)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2, name="out")])
    x, y = r.rand(5, 4).astype("float32"), r.rand(5, 2).astype("float32")

    def forward_loss():
        error = tf.square(model(x) - y)
        mean = np.mean(error, axis=0)  # HERE
        return tf.reduce_sum(mean)

    return forward_loss, model.trainable_variables
