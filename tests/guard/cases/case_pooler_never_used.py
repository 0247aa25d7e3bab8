"""A text encoder has a pooler, and the loss is computed from the token states: as with BERT."""

import keras
import numpy as np

EXPECT = {
    "cause": "not_used",
    "op_type": None,
    "line_marker": None,
    "none_variables": ["pooler"],
    "healthy_variables": ["embed", "layer0", "head"],
}


class Encoder(keras.Model):
    def __init__(self):
        super().__init__()
        self.embed = keras.layers.Embedding(10, 4, name="embed")
        self.layer0 = keras.layers.Dense(4, "tanh", name="layer0")
        self.pooler = keras.layers.Dense(4, "tanh", name="pooler")
        self.head = keras.layers.Dense(3, name="head")

    def call(self, ids):
        states = self.layer0(self.embed(ids))
        pooled = self.pooler(states[:, 0])
        return self.head(states), pooled


def build():
    r = np.random.RandomState(61)
    ids, y = r.randint(0, 10, (3, 5)), r.randint(0, 3, (3, 5))
    model = Encoder()
    model(ids)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return (lambda: loss(y, model(ids)[0])), model.trainable_variables
