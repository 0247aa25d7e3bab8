"""Online hard example mining: the largest losses by top_k."""

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
    r = np.random.RandomState(216)
    model = keras.Sequential([keras.layers.Input((6, 6, 1)), keras.layers.Conv2D(3, 3, padding="same", name="classes")])
    x, y = r.rand(2, 6, 6, 1).astype("float32"), r.randint(0, 3, (2, 6, 6))

    def forward_loss():
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(y, model(x))
        hardest, _ = tf.math.top_k(tf.reshape(losses, [2, -1]), 10)
        return tf.reduce_mean(hardest)

    return forward_loss, model.trainable_variables
