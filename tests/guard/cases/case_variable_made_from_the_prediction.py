"""A tf.Variable is made from the prediction, to change single entries of it: the copy has no past."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "stateful_assign",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "accept_causes": ["left_tensorflow", "outside_tape", "variable_replaced"],
    "accept_markers": ["ALSO"],
    "graph": "raises:ValueError",
}


def build():
    r = np.random.RandomState(317)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3, name="out")])
    x = r.rand(2, 4).astype("float32")

    def forward_loss():
        editable = tf.Variable(model(x))  # HERE
        editable[0, 0].assign(0.0)  # ALSO
        return tf.reduce_mean(tf.square(editable - 1.0))  # ALSO

    return forward_loss, model.trainable_variables
