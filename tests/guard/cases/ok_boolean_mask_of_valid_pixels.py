"""The loss is taken at the valid pixels by boolean_mask, the mask from a threshold of the labels."""

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
    r = np.random.RandomState(218)
    model = keras.Sequential([keras.layers.Input((6, 6, 1)), keras.layers.Conv2D(3, 3, padding="same", name="classes")])
    x, y = r.rand(2, 6, 6, 1).astype("float32"), tf.constant(r.randint(-1, 3, (2, 6, 6)), tf.int32)

    def forward_loss():
        valid = y >= 0
        return tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(tf.boolean_mask(y, valid), tf.boolean_mask(model(x), valid))
        )

    return forward_loss, model.trainable_variables
