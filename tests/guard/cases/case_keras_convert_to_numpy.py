"""keras.ops.convert_to_numpy before a SciPy-like smoothing written in NumPy."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "left_tensorflow",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "accept_markers": ["ALSO"],
    "graph": "raises:NotImplementedError",
}


def smooth(row):
    return np.convolve(row, np.ones(3) / 3.0, mode="same")


def build():
    r = np.random.RandomState(52)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(6, name="signal")])
    x, y = r.rand(5, 4).astype("float32"), r.rand(5, 6).astype("float32")

    def forward_loss():
        rows = keras.ops.convert_to_numpy(model(x))  # HERE
        smoothed = np.stack([smooth(row) for row in rows])
        return tf.reduce_mean(tf.square(tf.cast(smoothed, tf.float32) - y))  # ALSO

    return forward_loss, model.trainable_variables
