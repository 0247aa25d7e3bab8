"""The overlap of two masks is taken with logical_and of boolean casts."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "integer_cast",
    "op_type": "Cast",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "accept_causes": ["non_differentiable_op"],
    "accept_ops": ["LogicalAnd"],
    "accept_markers": ["ALSO"],
}


def build():
    r = np.random.RandomState(18)
    model = keras.Sequential(
        [keras.layers.Input((6, 6, 1)), keras.layers.Conv2D(1, 3, padding="same", activation="sigmoid", name="mask")]
    )
    x, y = r.rand(2, 6, 6, 1).astype("float32"), r.rand(2, 6, 6, 1) > 0.5

    def forward_loss():
        mask = tf.cast(model(x), tf.bool)  # HERE
        both = tf.logical_and(mask, y)  # ALSO
        return 1.0 - tf.reduce_mean(tf.cast(both, tf.float32))

    return forward_loss, model.trainable_variables
