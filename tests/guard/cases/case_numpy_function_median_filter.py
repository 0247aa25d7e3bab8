"""A median filter of the prediction runs in tf.numpy_function; a second term keeps part of the model alive."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "left_tensorflow",
    "op_type": "PyFunc",
    "line_marker": "HERE",
    "none_variables": ["mask_head"],
    "healthy_variables": ["trunk", "class_head"],
}


def median_filter(image):
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    windows = [padded[:, i : i + image.shape[1], j : j + image.shape[2]] for i in range(3) for j in range(3)]
    return np.median(np.stack(windows), axis=0).astype("float32")


def build():
    r = np.random.RandomState(55)
    inp = keras.Input((6, 6, 1))
    h = keras.layers.Conv2D(3, 3, padding="same", activation="tanh", name="trunk")(inp)
    mask = keras.layers.Conv2D(1, 1, activation="sigmoid", name="mask_head")(h)
    label = keras.layers.Dense(1, name="class_head")(keras.layers.GlobalAveragePooling2D()(h))
    model = keras.Model(inp, [mask, label])
    x, y = r.rand(2, 6, 6, 1).astype("float32"), (r.rand(2, 6, 6, 1) > 0.5).astype("float32")

    def forward_loss():
        mask, label = model(x, training=True)
        mask = tf.numpy_function(median_filter, [mask], tf.float32)  # HERE
        return tf.reduce_mean(tf.abs(mask - y)) + tf.reduce_mean(tf.square(label - 1.0))

    return forward_loss, model.trainable_variables
