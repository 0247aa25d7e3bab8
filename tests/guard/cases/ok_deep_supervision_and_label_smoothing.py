"""Two outputs at two scales, with smoothed labels and a resized mask."""

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
    r = np.random.RandomState(432)
    inp = keras.Input((8, 8, 1))
    a = keras.layers.Conv2D(3, 3, padding="same", activation="gelu", name="a")(inp)
    b = keras.layers.Conv2D(3, 3, strides=2, padding="same", activation="gelu", name="b")(a)
    model = keras.Model(inp, [keras.layers.Conv2D(1, 1, name="fine")(a), keras.layers.Conv2D(1, 1, name="coarse")(b)])
    x, y = r.rand(2, 8, 8, 1).astype("float32"), (r.rand(2, 8, 8, 1) > 0.5).astype("float32")
    loss = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.1)

    def forward_loss():
        fine, coarse = model(x, training=True)
        return loss(y, fine) + 0.5 * loss(tf.image.resize(y, [4, 4], method="nearest"), coarse)

    return forward_loss, model.trainable_variables
