"""The features are serialised to a string and parsed again between two stages."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "SerializeTensor",
    "line_marker": "HERE",
    "none_variables": ["stage1"],
    "healthy_variables": ["stage2"],
    "accept_ops": ["ParseTensor"],
    "accept_markers": ["ALSO"],
}


def build():
    r = np.random.RandomState(304)
    stage1 = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3, name="stage1")])
    stage2 = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1, name="stage2")])
    x = r.rand(6, 4).astype("float32")

    def forward_loss():
        message = tf.io.serialize_tensor(stage1(x))  # HERE
        features = tf.ensure_shape(tf.io.parse_tensor(message, tf.float32), [6, 3])  # ALSO
        return tf.reduce_mean(tf.square(stage2(features) - 1.0))

    return forward_loss, stage1.trainable_variables + stage2.trainable_variables
