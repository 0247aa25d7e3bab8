"""sum(model.losses) without any regulariser is the Python number 0."""

import keras
import numpy as np

EXPECT = {
    "cause": "constant_loss",
    "op_type": None,
    "line_marker": None,
    "none_variables": [],
    "healthy_variables": [],
    "raises": "TypeError",
    "accept_causes": ["left_tensorflow"],
    "graph": "raises:TypeError",
}


def build():
    r = np.random.RandomState(334)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2, name="out")])
    x = r.rand(5, 4).astype("float32")

    def forward_loss():
        model(x)
        return sum(model.losses)

    return forward_loss, model.trainable_variables
