"""An embedding of which a few rows are read: sparse gradients."""

import keras
import numpy as np

EXPECT = {
    "cause": None,
    "op_type": None,
    "line_marker": None,
    "none_variables": [],
    "healthy_variables": "all",
}


def build():
    model = keras.Sequential(
        [
            keras.layers.Input((3,), dtype="int32"),
            keras.layers.Embedding(50, 4, name="emb"),
            keras.layers.GlobalAveragePooling1D(),
            keras.layers.Dense(2, name="out"),
        ]
    )
    ids, y = np.array([[1, 2, 3], [4, 5, 6]]), np.array([0, 1])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return (lambda: loss(y, model(ids))), model.trainable_variables
