"""Lovász hinge: errors sorted by top_k, labels gathered by the indices."""

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
    r = np.random.RandomState(217)
    model = keras.Sequential([keras.layers.Input((6, 6, 1)), keras.layers.Conv2D(1, 3, padding="same", name="mask")])
    x, y = r.rand(1, 6, 6, 1).astype("float32"), tf.constant((r.rand(36) > 0.5).astype("float32"))

    def forward_loss():
        logits = tf.reshape(model(x), [-1])
        errors = 1.0 - logits * (2.0 * y - 1.0)
        ordered, order = tf.math.top_k(errors, 36)
        truth = tf.gather(y, order)
        jaccard = 1.0 - (tf.reduce_sum(truth) - tf.cumsum(truth)) / (tf.reduce_sum(truth) + tf.cumsum(1.0 - truth))
        slope = tf.concat([jaccard[:1], jaccard[1:] - jaccard[:-1]], 0)
        return tf.tensordot(tf.nn.relu(ordered), tf.stop_gradient(slope), 1)

    return forward_loss, model.trainable_variables
