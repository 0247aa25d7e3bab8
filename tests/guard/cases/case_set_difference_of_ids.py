"""Sets of predicted ids are compared with tf.sets."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "TopKV2",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "accept_ops": ["DenseToDenseSetOperation"],
}


def build():
    r = np.random.RandomState(40)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(6, name="scores")])
    x = r.rand(3, 4).astype("float32")
    truth = tf.constant([[0, 1], [2, 3], [4, 5]], tf.int32)

    def forward_loss():
        chosen = tf.math.top_k(model(x), k=2).indices  # HERE
        common = tf.sets.size(tf.sets.intersection(chosen, truth))
        return 1.0 - tf.reduce_mean(tf.cast(common, tf.float32)) / 2.0

    return forward_loss, model.trainable_variables
