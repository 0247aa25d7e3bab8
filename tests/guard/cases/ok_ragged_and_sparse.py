"""Ragged mean pooling of embeddings plus a sparse matrix product."""

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
    r = np.random.RandomState(221)
    table, w = (
        tf.Variable(r.randn(6, 3).astype("float32"), name="table"),
        tf.Variable(r.randn(4, 3).astype("float32"), name="w"),
    )
    ids = tf.ragged.constant([[0, 1, 2], [3], [4, 5]])
    sparse = tf.sparse.from_dense(tf.constant([[0.0, 1.0, 0.0, 2.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 3.0, 0.0]]))

    def forward_loss():
        pooled = tf.reduce_mean(tf.ragged.map_flat_values(lambda i: tf.gather(table, i), ids), axis=1)
        return tf.reduce_mean(tf.square(pooled + tf.sparse.sparse_dense_matmul(sparse, w)))

    return forward_loss, [table, w]
