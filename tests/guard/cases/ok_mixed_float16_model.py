"""A U-Net-like model under mixed_float16, its loss in float32, scaled by 1024."""

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
    r = np.random.RandomState(223)
    keras.mixed_precision.set_global_policy("mixed_float16")
    inp = keras.Input((8, 8, 1))
    a = keras.layers.Conv2D(4, 3, padding="same", activation="swish", name="a")(inp)
    b = keras.layers.BatchNormalization(name="bn")(keras.layers.Conv2D(4, 3, strides=2, padding="same", name="b")(a))
    u = keras.layers.Concatenate()([a, keras.layers.UpSampling2D()(b)])
    model = keras.Model(inp, keras.layers.Conv2D(1, 1, dtype="float32", name="mask")(u))
    keras.mixed_precision.set_global_policy("float32")
    x, y = r.rand(2, 8, 8, 1).astype("float32"), (r.rand(2, 8, 8, 1) > 0.5).astype("float32")
    return (
        lambda: 1024.0 * tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(y, model(x, training=True)))
    ), model.trainable_variables
