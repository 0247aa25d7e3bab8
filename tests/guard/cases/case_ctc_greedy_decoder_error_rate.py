"""The edit distance of the greedy CTC decoding is minimised instead of the CTC loss."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "CTCGreedyDecoder",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "accept_ops": ["EditDistance"],
}


def build():
    r = np.random.RandomState(19)
    model = keras.Sequential([keras.layers.Input((6, 3)), keras.layers.Dense(4, name="logits")])
    x = r.rand(2, 6, 3).astype("float32")
    truth = tf.sparse.from_dense(tf.constant([[1, 2], [2, 1]], tf.int64))

    def forward_loss():
        logits = tf.transpose(model(x), [1, 0, 2])
        decoded, _ = tf.nn.ctc_greedy_decoder(logits, [6, 6])  # HERE
        return tf.reduce_mean(tf.edit_distance(decoded[0], truth))

    return forward_loss, model.trainable_variables
