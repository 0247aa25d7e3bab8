"""Components of the seeds are labelled by NumPy in tf.numpy_function; the mask has a healthy loss of its own."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "left_tensorflow",
    "op_type": "PyFunc",
    "line_marker": "HERE",
    "none_variables": ["seeds"],
    "healthy_variables": ["mask"],
    "accept_ops": ["EagerPyFunc"],
}


def label(mask):
    out, current = np.zeros(mask.shape, np.float32), 0
    for index in np.ndindex(mask.shape):
        if mask[index] > 0.5 and not out[index]:
            current += 1
            out[index] = current
    return out


def build():
    r = np.random.RandomState(423)
    inp = keras.Input((4, 4, 1))
    model = keras.Model(
        inp,
        [
            keras.layers.Conv2D(1, 1, activation="sigmoid", name="mask")(inp),
            keras.layers.Conv2D(1, 1, activation="sigmoid", name="seeds")(inp),
        ],
    )
    x = r.rand(1, 4, 4, 1).astype("float32")

    def forward_loss():
        mask, seeds = model(x)
        components = tf.numpy_function(label, [seeds], tf.float32)  # HERE
        return tf.reduce_mean(tf.square(mask - 1.0)) + tf.reduce_mean(components)

    return forward_loss, model.trainable_variables
