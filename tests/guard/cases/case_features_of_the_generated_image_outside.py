"""Style transfer: the features of the image variable are extracted once, before the steps."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "outside_tape",
    "op_type": None,
    "line_marker": None,
    "none_variables": "all",
    "healthy_variables": [],
    "accept_markers": ["ALSO"],
    "accept_causes": ["not_used", "constant_loss"],
}


def build():
    r = np.random.RandomState(58)
    net = keras.Sequential([keras.layers.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, name="vgg")])
    image = tf.Variable(r.rand(1, 8, 8, 3).astype("float32"), name="image")
    style = net(r.rand(1, 8, 8, 3).astype("float32"))
    features = net(image)  # ALSO
    return (lambda: tf.reduce_mean(tf.square(features - style))), [image]
