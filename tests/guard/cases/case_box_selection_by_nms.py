"""A detection loss looks at the anchors kept by non-maximum suppression of the predicted scores, and nothing else."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "NonMaxSuppressionV3",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "accept_ops": ["NonMaxSuppressionV4", "NonMaxSuppressionV5"],
}


def build():
    r = np.random.RandomState(7)
    anchors = tf.constant([[0.0, 0.0, 1.0, 1.0], [0.0, 0.1, 1.0, 1.1], [2.0, 2.0, 3.0, 3.0], [5.0, 5.0, 6.0, 6.0]])
    truth = tf.constant([0.0, 0.0, 1.0, 1.0])
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(4, "sigmoid", name="scores")])
    x = r.rand(1, 3).astype("float32")

    def forward_loss():
        keep = tf.image.non_max_suppression(anchors, model(x)[0], max_output_size=2)  # HERE
        return tf.reduce_mean(tf.abs(tf.gather(anchors, keep) - truth))

    return forward_loss, model.trainable_variables
