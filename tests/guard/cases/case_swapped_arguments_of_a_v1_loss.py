"""Labels and logits are swapped in the v1 cross-entropy, which stops the gradient of its labels."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "stop_gradient",
    "op_type": "StopGradient",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
}


def build():
    r = np.random.RandomState(93)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3, "softmax", name="out")])
    x, y = r.rand(6, 4).astype("float32"), tf.one_hot(r.randint(0, 3, 6), 3)

    def forward_loss():
        losses = tf.compat.v1.nn.softmax_cross_entropy_with_logits(labels=model(x), logits=y)  # HERE
        return tf.reduce_mean(losses)

    return forward_loss, model.trainable_variables
