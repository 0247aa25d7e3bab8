"""Per-class weights are one over the class count, and one class is empty."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "nan_gradient",
    "op_type": "RealDiv",
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": [],
    "nan_variables": "all",
    "accept_ops": ["Mul", "Reciprocal"],
    "accept_markers": ["ALSO"],
}


def build():
    r = np.random.RandomState(135)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3, "softmax", name="out")])
    x, y = r.rand(6, 4).astype("float32"), np.eye(3, dtype="float32")[[0, 1, 0, 1, 0, 1]]

    def forward_loss():
        weight = 1.0 / tf.reduce_sum(y, axis=0)  # HERE
        inter = tf.reduce_sum(y * model(x), axis=0)
        return 1.0 - tf.reduce_mean(weight * inter)  # ALSO

    return forward_loss, model.trainable_variables
