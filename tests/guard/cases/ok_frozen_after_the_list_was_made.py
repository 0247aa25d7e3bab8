"""A layer is frozen after its variables were listed: passed explicitly they still get gradients."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": None,
    "op_type": None,
    "line_marker": None,
    "none_variables": [],
    "healthy_variables": "all",
}


def build():
    r = np.random.RandomState(362)
    model = keras.Sequential(
        [keras.layers.Input((4,)), keras.layers.Dense(3, "tanh", name="a"), keras.layers.Dense(1, name="b")]
    )
    variables = model.trainable_variables
    model.layers[0].trainable = False
    x = r.rand(5, 4).astype("float32")
    return (lambda: tf.reduce_mean(tf.square(model(x) - 1.0))), variables
