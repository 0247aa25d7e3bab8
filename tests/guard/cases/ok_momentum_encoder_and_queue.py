"""MoCo: keys by a second encoder under stop_gradient, a queue of negatives written by assign."""

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
    r = np.random.RandomState(364)
    query = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3, name="query")])
    key = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3, name="key")])
    key.trainable = False
    queue = tf.Variable(tf.math.l2_normalize(r.randn(6, 3).astype("float32"), -1), trainable=False, name="queue")
    a, b = r.rand(2, 4).astype("float32"), r.rand(2, 4).astype("float32")

    def forward_loss():
        q, k = tf.math.l2_normalize(query(a), -1), tf.stop_gradient(tf.math.l2_normalize(key(b), -1))
        logits = tf.concat([tf.reduce_sum(q * k, -1, keepdims=True), tf.matmul(q, queue, transpose_b=True)], -1)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(tf.zeros([2], tf.int32), logits / 0.1))
        queue.assign(tf.concat([k, queue[:-2]], 0))
        return loss

    return forward_loss, query.trainable_variables
