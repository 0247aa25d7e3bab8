"""All sample weights of the batch are zero."""

import keras
import numpy as np

EXPECT = {
    "cause": "zero_gradient",
    "op_type": "Mul",
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": [],
    "zero_variables": "all",
}


def build():
    r = np.random.RandomState(118)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3, name="logits")])
    x, y = r.rand(5, 4).astype("float32"), r.randint(0, 3, 5)
    weights = np.zeros(5, "float32")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return (lambda: loss(y, model(x), sample_weight=weights)), model.trainable_variables  # HERE
