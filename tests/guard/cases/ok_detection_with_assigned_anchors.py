"""Anchors are assigned by the argmax of IoU with the labels; scores and boxes learn by their own losses."""

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
    r = np.random.RandomState(431)
    inp = keras.Input((6,))
    h = keras.layers.Dense(8, "tanh", name="h")(inp)
    model = keras.Model(
        inp,
        [keras.layers.Dense(4, name="scores")(h), keras.layers.Reshape((4, 2))(keras.layers.Dense(8, name="boxes")(h))],
    )
    x = r.rand(3, 6).astype("float32")
    truth, anchors = tf.constant(r.rand(3, 2), tf.float32), tf.constant(r.rand(4, 2), tf.float32)

    def forward_loss():
        scores, boxes = model(x)
        best = tf.argmin(tf.reduce_sum(tf.abs(truth[:, None] - anchors[None]), -1), -1)
        positive = tf.one_hot(best, 4)
        box = tf.reduce_sum(tf.abs(boxes - truth[:, None]), -1) * positive
        return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(positive, scores)) + tf.reduce_sum(box)

    return forward_loss, model.trainable_variables
