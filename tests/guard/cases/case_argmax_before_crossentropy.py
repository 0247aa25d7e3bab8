"""The class ids of the prediction, not its probabilities, go into the cross-entropy."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "ArgMax",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
}


def loss_fn(y_true, y_pred):
    ids = tf.argmax(y_pred, axis=-1)  # HERE
    return tf.reduce_mean(tf.square(tf.cast(ids, tf.float32) - tf.cast(y_true, tf.float32)))


def build():
    r = np.random.RandomState(0)
    model = keras.Sequential(
        [
            keras.layers.Input((4,)),
            keras.layers.Dense(6, "relu", name="hid"),
            keras.layers.Dense(3, "softmax", name="out"),
        ]
    )
    x, y = r.rand(6, 4).astype("float32"), r.randint(0, 3, 6)
    return (lambda: loss_fn(y, model(x, training=True))), model.trainable_variables
