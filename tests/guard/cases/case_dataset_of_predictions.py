"""The predictions are batched again with tf.data before the loss."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "left_tensorflow",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "accept_causes": ["non_differentiable_op", "outside_tape"],
    "accept_markers": ["ALSO"],
}


def build():
    r = np.random.RandomState(318)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2, name="out")])
    x = r.rand(4, 4).astype("float32")

    def forward_loss():
        data = tf.data.Dataset.from_tensor_slices(model(x)).batch(2)  # HERE
        loss = tf.constant(0.0)
        for part in data:  # ALSO
            loss += tf.reduce_mean(tf.square(part - 1.0))
        return loss

    return forward_loss, model.trainable_variables
