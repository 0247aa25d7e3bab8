"""Keys go into a queue and come out again, without their gradient."""

import tensorflow as tf

EXPECT = {
    "cause": "stateful_assign",
    "op_type": "QueueEnqueueManyV2",
    "line_marker": "HERE",
    "none_variables": ["key"],
    "healthy_variables": ["query"],
}


def build():
    query, key = tf.Variable([[0.3, 0.1]], name="query"), tf.Variable([[0.8, 0.4]], name="key")
    queue = tf.queue.FIFOQueue(8, [tf.float32], [[2]])

    def forward_loss():
        queue.enqueue_many([key * 2.0])  # HERE
        keys = queue.dequeue_many(1)
        return tf.reduce_mean(tf.nn.softplus(tf.matmul(query, keys, transpose_b=True)))

    return forward_loss, [query, key]
