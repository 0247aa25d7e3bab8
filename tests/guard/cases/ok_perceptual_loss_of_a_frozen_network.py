"""A frozen feature network inside the loss; only the generator is listed."""

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
    r = np.random.RandomState(242)
    features = keras.Sequential(
        [keras.layers.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, activation="relu", name="vgg")]
    )
    features.trainable = False
    gen = keras.Sequential(
        [keras.layers.Input((8, 8, 3)), keras.layers.Conv2D(3, 3, padding="same", activation="sigmoid", name="gen")]
    )
    x, y = r.rand(1, 8, 8, 3).astype("float32"), r.rand(1, 8, 8, 3).astype("float32")
    return (lambda: tf.reduce_mean(tf.square(features(gen(x)) - features(y)))), gen.trainable_variables
