"""Each image's centre is the argmax of its heat map, in tf.map_fn with an integer output."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "ArgMax",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "op_in_nested": True,
    "accept_ops": ["While", "StatelessWhile", "StridedSlice"],
}


def peak(heat):
    return tf.argmax(tf.reshape(heat, [-1]))  # HERE


def build():
    r = np.random.RandomState(321)
    model = keras.Sequential([keras.layers.Input((6, 6, 1)), keras.layers.Conv2D(1, 3, padding="same", name="heat")])
    x = r.rand(3, 6, 6, 1).astype("float32")

    def forward_loss():
        peaks = tf.map_fn(peak, model(x), fn_output_signature=tf.int64)
        return tf.reduce_mean(tf.square(tf.cast(peaks, tf.float32) - 17.0))

    return forward_loss, model.trainable_variables
