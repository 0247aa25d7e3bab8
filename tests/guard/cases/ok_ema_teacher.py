"""Mean teacher: the teacher's tf.Variables are read, updated by assign, and not trained."""

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
    r = np.random.RandomState(226)
    student = tf.Variable(r.randn(4, 3).astype("float32"), name="student")
    teacher = tf.Variable(r.randn(4, 3).astype("float32"), name="teacher", trainable=False)
    x = tf.constant(r.rand(5, 4), tf.float32)

    def forward_loss():
        teacher.assign(0.99 * teacher + 0.01 * student)
        goal = tf.nn.softmax(x @ teacher)
        return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(goal, x @ student))

    return forward_loss, [student]
