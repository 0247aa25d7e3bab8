"""A label is infinite: distance maps of an empty mask."""

import keras
import numpy as np

EXPECT = {
    "cause": "nan_gradient",
    "op_type": None,
    "line_marker": None,
    "none_variables": [],
    "healthy_variables": [],
    "nan_variables": "all",
}


def build():
    r = np.random.RandomState(411)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(1, name="out")])
    x, y = r.rand(3, 4).astype("float32"), np.float32([[0.1], [np.inf], [0.2]])
    return (lambda: keras.losses.MeanSquaredError()(y, model(x))), model.trainable_variables
