"""The encoder runs in Dataset.map, in the input pipeline, where no tape looks."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "left_tensorflow",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": ["encoder"],
    "healthy_variables": ["head"],
    "accept_causes": ["outside_tape"],
    "accept_markers": ["ALSO"],
}


def build():
    r = np.random.RandomState(408)
    encoder, head = keras.layers.Dense(3, "tanh", name="encoder"), keras.layers.Dense(1, name="head")
    encoder.build((None, 4)), head.build((None, 3))
    x, y = r.rand(6, 4).astype("float32"), r.rand(6, 1).astype("float32")
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(6)
    data = data.map(lambda x, y: (encoder(x), y))  # HERE

    def forward_loss():
        features, labels = next(iter(data))  # ALSO
        return tf.reduce_mean(tf.square(head(features) - labels))

    return forward_loss, encoder.trainable_variables + head.trainable_variables
