"""Robust watermarking: the image is JPEG-coded between encoder and loss."""

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
    "accept_ops": [
        "AdjustJpegQuality",
        "EncodeJpegVariableQuality",
        "EncodeJpeg",
        "DecodeJpeg",
        "DecodeImage",
        "Round",
    ],
}


def build():
    r = np.random.RandomState(30)
    enc = keras.Sequential(
        [keras.layers.Input((8, 8, 3)), keras.layers.Conv2D(3, 3, padding="same", activation="sigmoid", name="mark")]
    )
    x = r.rand(1, 8, 8, 3).astype("float32")

    def forward_loss():
        coded = tf.image.adjust_jpeg_quality(enc(x)[0], 75)  # HERE
        return tf.reduce_mean(tf.square(coded - 0.5))

    return forward_loss, enc.trainable_variables
