"""Models of one's own class, in which changes are tried and taken back; lookup tables; what moves inside a model."""

import keras
import numpy as np
from keras import initializers, layers, losses, optimizers

from tests.guard.doctor.making import asked, discs, fault, groups, healthy

ADAM = optimizers.Adam


class Layered(keras.Model):
    """Two hidden layers with dropout between them."""

    def __init__(self, start="glorot_uniform", activation="relu", rate=0.0):
        super().__init__()
        self.one = layers.Dense(24, activation=activation, kernel_initializer=start, name="one")
        self.drop = layers.Dropout(rate, name="drop")
        self.two = layers.Dense(24, activation=activation, kernel_initializer=start, name="two")
        self.score = layers.Dense(5, activation="softmax", kernel_initializer=start, name="score")

    def call(self, inputs, training=False):
        return self.score(self.two(self.drop(self.one(inputs), training=training)))


@fault(("weight_initialization", "saturated_units"), ("one", "two", "score"), says="With that mended", depth="steps")
def huge_weights_in_a_class_of_ones_own(mended):
    x, y = groups()
    model = Layered("glorot_uniform" if mended else initializers.RandomNormal(stddev=8.0), "tanh")
    return asked(model, "sparse_categorical_crossentropy", ADAM(0.005), x, y)


@fault("dropout_too_high", "drop", says="97%", depth="steps")
def dropout_in_a_class_of_ones_own(mended):
    x, y = groups()
    return asked(Layered(rate=0.1 if mended else 0.97), "sparse_categorical_crossentropy", ADAM(0.005), x, y)


def films(start):
    r = np.random.default_rng(94)
    viewers, seen = r.integers(0, 20, 800), r.integers(0, 20, 800)
    taste, kind = r.normal(0, 1, (20, 2)), r.normal(0, 1, (20, 2))
    y = (taste[viewers] * kind[seen]).sum(1, keepdims=True).astype("float32")
    inputs = [keras.Input((1,), dtype="int32") for _ in range(2)]
    tables = [layers.Embedding(20, 8, embeddings_initializer=start, name=name) for name in ("viewers", "films")]
    flat = [layers.Flatten()(table(part)) for table, part in zip(tables, inputs, strict=True)]
    model = keras.Model(inputs, layers.Dot(1)(flat))
    return asked(model, "mse", ADAM(0.03), [viewers[:, None], seen[:, None]], y, epochs=30)


@fault("weight_initialization", ("viewers", "films"), says="the gradient of each is 0 times the other", depth="batch")
def tables_of_zeros_are_multiplied(mended):
    return films("uniform" if mended else "zeros")


@fault("labels_not_aligned", ("flip", "turn", "y"), says="inside the model", depth="batch")
def images_turn_inside_the_model(mended):
    x, y = discs()
    moving = [] if mended else [layers.RandomFlip("horizontal", name="flip"), layers.RandomRotation(0.5, name="turn")]
    last = layers.Conv2D(1, 1, activation="sigmoid", name="mask")
    hidden = [layers.Conv2D(8, 3, padding="same", activation="relu", name=name) for name in ("one", "two")]
    model = keras.Sequential([keras.Input((16, 16, 1)), *moving, *hidden, last])
    return asked(model, "binary_crossentropy", ADAM(0.02), x, y.astype("float32"), 8)


@healthy
def images_turn_inside_a_classifier():
    x, y = discs(90)
    large = (y.mean((1, 2, 3)) > np.median(y.mean((1, 2, 3)))).astype("float32")
    parts = [layers.RandomFlip(), layers.Conv2D(8, 3, activation="relu")]
    last = [layers.GlobalAveragePooling2D(), layers.Dense(16, activation="relu"), layers.Dense(1, activation="sigmoid")]
    model = keras.Sequential([keras.Input((16, 16, 1)), *parts, *last])
    return asked(model, "binary_crossentropy", ADAM(0.03), x, large, 8, 30)


class Branched(keras.Model):
    """A branch that starts at zero beside the identity."""

    def __init__(self):
        super().__init__()
        self.first = layers.Dense(24, activation="relu")
        self.deep = layers.Dense(24, activation="relu")
        self.back = layers.Dense(24, kernel_initializer="zeros")
        self.score = layers.Dense(5)

    def call(self, inputs):
        h = self.first(inputs)
        return self.score(h + self.back(self.deep(h)))


@healthy
def a_branch_of_zeros_in_a_class_of_ones_own():
    x, y = groups()
    return asked(Branched(), losses.SparseCategoricalCrossentropy(from_logits=True), ADAM(0.01), x, y)
