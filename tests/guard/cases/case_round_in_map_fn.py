"""Each image of the batch is rounded in tf.map_fn: None in eager mode, zeros inside tf.function."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "Round",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "graph": "zero",
    "op_in_nested": True,
    "accept_ops": ["While", "StatelessWhile"],
}


def one_image(image):
    levels = tf.round(image * 8.0)  # HERE
    return levels / 8.0


def build():
    r = np.random.RandomState(23)
    model = keras.Sequential([keras.layers.Input((6, 6, 1)), keras.layers.Conv2D(2, 3, name="conv")])
    x = r.rand(3, 6, 6, 1).astype("float32")
    return (lambda: tf.reduce_mean(tf.square(tf.map_fn(one_image, model(x)) - 0.5))), model.trainable_variables
