"""A stateful GRU beside a ConvLSTM2D."""

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
    r = np.random.RandomState(241)
    gru = keras.Sequential(
        [
            keras.layers.Input(batch_shape=(2, 3, 4)),
            keras.layers.GRU(3, stateful=True, name="gru"),
            keras.layers.Dense(1, name="g_out"),
        ]
    )
    conv = keras.Sequential(
        [
            keras.layers.Input((3, 5, 5, 1)),
            keras.layers.ConvLSTM2D(2, 3, name="conv_lstm"),
            keras.layers.GlobalAveragePooling2D(),
        ]
    )
    x, video = r.rand(2, 3, 4).astype("float32"), r.rand(2, 3, 5, 5, 1).astype("float32")
    return (
        lambda: tf.reduce_mean(tf.square(gru(x) - 1.0)) + tf.reduce_mean(tf.square(conv(video) - 0.5))
    ), gru.trainable_variables + conv.trainable_variables
