"""The loss counts the boxes that non-maximum suppression keeps."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "NonMaxSuppressionV3",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "accept_ops": ["Shape"],
    "accept_markers": ["ALSO"],
}


def build():
    r = np.random.RandomState(401)
    head = keras.layers.Dense(5, name="boxes")
    x = tf.constant(r.rand(6, 3), tf.float32)
    head.build((None, 3))

    def forward_loss():
        out = head(x)
        kept = tf.image.non_max_suppression(out[:, :4], out[:, 4], 6, 0.5)  # HERE
        count = tf.cast(tf.shape(kept)[0], tf.float32)  # ALSO
        return tf.square(count - 3.0)

    return forward_loss, head.trainable_variables
