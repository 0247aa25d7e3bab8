"""Small Keras models, data and a faulty loss for the tests of the guard with compile and fit."""

import keras
import numpy as np
import tensorflow as tf

SMOOTH = 1e-5


def images():
    return np.random.RandomState(0).rand(8, 8, 8, 1)  # double precision, as people have it


def masks():
    return (np.random.RandomState(1).rand(8, 8, 8, 1) > 0.5).astype("float32")


def segmenter(activation="sigmoid", **mask):
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.layers.Input((8, 8, 1)),
            keras.layers.Conv2D(3, 3, padding="same", activation="tanh", name="enc"),
            keras.layers.Conv2D(1, 1, activation=activation, name="mask", **mask),
        ]
    )


def two_heads(names=True):
    keras.utils.set_random_seed(1)
    inp = keras.Input((4,))
    h = keras.layers.Dense(5, "tanh", name="trunk")(inp)
    a, b = keras.layers.Dense(1, name="a")(h), keras.layers.Dense(2, name="b")(h)
    return keras.Model(inp, {"a": a, "b": b} if names else [a, b])


def stopped_dice(y_true, y_pred):
    overlap = tf.reduce_sum(y_true * y_pred)
    score = (2.0 * overlap + SMOOTH) / (tf.reduce_sum(y_true) + tf.reduce_sum(y_pred) + SMOOTH)
    return 1.0 - tf.stop_gradient(score)
