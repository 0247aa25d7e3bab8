"""The model is called in a py_function that is not handed anything."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "left_tensorflow",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "accept_causes": ["outside_tape", "non_differentiable_op"],
    "accept_markers": ["ALSO"],
}


def build():
    r = np.random.RandomState(407)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2, name="out")])
    x, y = tf.constant(r.rand(5, 4), tf.float32), r.rand(5, 2).astype("float32")

    def predict():
        return model(x)  # ALSO

    def forward_loss():
        p = tf.py_function(predict, [], tf.float32)  # HERE
        return tf.reduce_mean(tf.square(p - y))

    return forward_loss, model.trainable_variables
