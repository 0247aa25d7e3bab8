"""A functional model multiplies by a tf.Variable, which Keras does not list."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "untracked_variable",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": "all",
    "untracked_variables": ["temperature"],
    "accept_markers": ["ALSO"],
}


def build():
    r = np.random.RandomState(413)
    temperature = tf.Variable(0.7, name="temperature")  # ALSO
    inputs = keras.Input((4,))
    logits = keras.layers.Dense(3, name="logits")(inputs)
    model = keras.Model(inputs, logits / temperature)  # HERE
    x, y = r.rand(5, 4).astype("float32"), r.randint(0, 3, 5)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return (lambda: loss(y, model(x, training=True))), model.trainable_variables
