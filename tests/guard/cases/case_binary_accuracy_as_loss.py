"""keras.metrics.binary_accuracy is passed as the loss; the threshold is in Keras's own code."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "Greater",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "accept_ops": ["Equal"],
}


def build():
    r = np.random.RandomState(3)
    model = keras.Sequential([keras.layers.Input((5,)), keras.layers.Dense(1, "sigmoid", name="out")])
    x, y = r.rand(8, 5).astype("float32"), (r.rand(8, 1) > 0.5).astype("float32")

    def forward_loss():
        p = model(x, training=True)
        return 1.0 - tf.reduce_mean(keras.metrics.binary_accuracy(y, p))  # HERE

    return forward_loss, model.trainable_variables
