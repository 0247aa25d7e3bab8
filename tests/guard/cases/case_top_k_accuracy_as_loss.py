"""in_top_k counts the hits, and their share is the loss."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "InTopKV2",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "accept_ops": ["InTopK"],
}


def build():
    r = np.random.RandomState(17)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(5, name="logits")])
    x, y = r.rand(7, 4).astype("float32"), tf.constant(r.randint(0, 5, 7), tf.int32)

    def forward_loss():
        logits = model(x)
        hit = tf.math.in_top_k(y, logits, k=2)  # HERE
        return 1.0 - tf.reduce_mean(tf.cast(hit, tf.float32))

    return forward_loss, model.trainable_variables
