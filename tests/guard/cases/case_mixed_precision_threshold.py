"""The same threshold under the mixed_float16 policy, with its casts in between."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "Greater",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
}


def build():
    r = np.random.RandomState(36)
    keras.mixed_precision.set_global_policy("mixed_float16")
    model = keras.Sequential(
        [
            keras.layers.Input((8, 8, 1)),
            keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="c"),
            keras.layers.Conv2D(1, 1, activation="sigmoid", dtype="float32", name="mask"),
        ]
    )
    keras.mixed_precision.set_global_policy("float32")
    x, y = r.rand(2, 8, 8, 1).astype("float32"), (r.rand(2, 8, 8, 1) > 0.5).astype("float32")

    def forward_loss():
        mask = tf.cast(model(x, training=True) > 0.5, tf.float32)  # HERE
        return 1.0 - tf.reduce_sum(mask * y) / (tf.reduce_sum(mask + y) + 1.0)

    return forward_loss, model.trainable_variables
