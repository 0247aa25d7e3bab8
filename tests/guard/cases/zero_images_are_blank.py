"""The reader returned black images: a kernel without signal."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "zero_gradient",
    "op_type": None,
    "line_marker": None,
    "none_variables": [],
    "healthy_variables": ["bias"],
    "zero_variables": ["kernel"],
}


def build():
    model = keras.Sequential(
        [keras.layers.Input((6, 6, 1)), keras.layers.Conv2D(2, 3, name="conv"), keras.layers.GlobalAveragePooling2D()]
    )
    x = np.zeros((3, 6, 6, 1), "float32")
    return (lambda: tf.reduce_mean(tf.square(model(x) - 1.0))), model.trainable_variables
