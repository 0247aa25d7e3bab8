"""Bilinear sampling: the corners come from floor and a cast, the weights carry the gradient."""

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
    r = np.random.RandomState(219)
    place = tf.Variable([2.3, 3.6], name="place")
    image = tf.constant(r.rand(8, 8), tf.float32)

    def forward_loss():
        low = tf.floor(place)
        frac = place - low
        i = tf.cast(low, tf.int32)
        patch = tf.stack([image[i[0] + a, i[1] + b] for a in (0, 1) for b in (0, 1)])
        weights = tf.stack(
            [(1 - frac[0]) * (1 - frac[1]), (1 - frac[0]) * frac[1], frac[0] * (1 - frac[1]), frac[0] * frac[1]]
        )
        return tf.square(tf.reduce_sum(patch * weights) - 1.0)

    return forward_loss, [place]
