"""Programs that learn, and whose validation data was prepared otherwise."""

import keras
import numpy as np
from keras import layers, optimizers

from tests.guard.doctor.making import asked, discs, fault, groups, healthy, words

ADAM = optimizers.Adam


def classifier(x, k):
    last = layers.Dense(k, activation="softmax", name="score")
    return keras.Sequential([keras.Input(x.shape[1:]), layers.Dense(24, activation="relu", name="hidden"), last])


@fault("train_validation_mismatch", "validation", says="columns have changed places")
def dummies_made_of_each_table_by_itself(mended):
    x, y = groups(k=3)
    xv, yv = groups(160, k=3, seed=1)
    size, middle = np.array([1, 2, 0.5, 1, 0.4, 1.5], "float32"), np.array([0, 1, 2, 0, -1, 0], "float32")
    x, xv = x * size + middle, xv * size + middle
    validation = xv if mended else xv[:, [2, 0, 4, 3, 1, 5]], yv
    return asked(classifier(x, 3), "sparse_categorical_crossentropy", ADAM(0.01), x, y, validation=validation)


def rare_words(n, seed):
    """Token ids that thin out like those of a language, beside those that make the label."""
    x, y = words(n, seed=seed)
    thin = np.minimum(np.random.default_rng(seed + 50).zipf(1.5, (n, 12)) + 39, 79)
    return np.concatenate([x, thin], 1), y


@fault("train_validation_mismatch", "validation", says="two vocabularies")
def a_tokenizer_fitted_again(mended):
    (x, y), (xv, yv) = rare_words(320, 0), rare_words(120, 1)
    xv = xv if mended else np.random.default_rng(5).permutation(80)[xv]
    embedded = [layers.Embedding(80, 12, name="words"), layers.GlobalAveragePooling1D()]
    model = keras.Sequential([keras.Input((20,)), *embedded, layers.Dense(1, activation="sigmoid", name="score")])
    return asked(model, "binary_crossentropy", ADAM(0.02), x, y, validation=(xv, yv))


@fault("train_validation_mismatch", "validation", says="explains", depth="steps")
def classes_numbered_by_another_encoder(mended):
    x, y = groups(k=4)
    xv, yv = groups(120, k=4, seed=1)
    validation = xv, yv if mended else (yv + 1) % 4
    return asked(classifier(x, 4), "sparse_categorical_crossentropy", ADAM(0.01), x, y, validation=validation)


def segmenter(x):
    hidden = [layers.Conv2D(8, 3, padding="same", activation="relu", name=name) for name in ("one", "two")]
    return keras.Sequential([keras.Input(x.shape[1:]), *hidden, layers.Conv2D(1, 1, activation="sigmoid", name="mask")])


def of_masks(changed):
    (x, y), (xv, yv) = discs(), discs(20, seed=1)
    validation = xv, changed(yv).astype("float32")
    return asked(segmenter(x), "binary_crossentropy", ADAM(0.02), x, y.astype("float32"), 8, validation=validation)


@fault("train_validation_mismatch", "validation", says="the two classes have changed places")
def validation_masks_say_background(mended):
    return of_masks((lambda y: y) if mended else (lambda y: 1 - y))


@fault("train_validation_mismatch", "validation", says="masks of validation hold 0 alone")
def validation_masks_of_nothing(mended):
    return of_masks((lambda y: y) if mended else (lambda y: 0 * y))


@fault("train_validation_mismatch", "validation", says="those of training fit as they are")
def validation_masks_upside_down(mended):
    return of_masks((lambda y: y) if mended else (lambda y: y[:, ::-1]))


@healthy
def validation_of_later_with_more_of_a_class():
    x, y = groups(700, k=2)
    keep = np.random.default_rng(1).random(450) < np.where(y[:450] == 1, 0.6, 1.0)
    x, xv, y, yv = x[:450][keep], x[450:] + 0.3, y[:450][keep], y[450:]
    return asked(classifier(x, 2), "sparse_categorical_crossentropy", ADAM(0.01), x, y, validation=(xv, yv))
