"""The forward pass calls keras.models.clone_model's copy, the list is the original's."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "variable_replaced",
    "op_type": None,
    "line_marker": None,
    "none_variables": "all",
    "healthy_variables": [],
    "accept_causes": ["not_used"],
}


def build():
    r = np.random.RandomState(69)
    model = keras.Sequential(
        [keras.layers.Input((6, 6, 1)), keras.layers.Conv2D(2, 3, name="conv"), keras.layers.GlobalAveragePooling2D()]
    )
    copy = keras.models.clone_model(model)
    x = r.rand(3, 6, 6, 1).astype("float32")
    return (lambda: tf.reduce_mean(tf.square(copy(x) - 1.0))), model.trainable_variables
