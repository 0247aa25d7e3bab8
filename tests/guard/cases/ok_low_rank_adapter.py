"""LoRA: the second factor starts at zero, the frozen kernel is read and not listed."""

import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": None,
    "op_type": None,
    "line_marker": None,
    "none_variables": [],
    "healthy_variables": "all",
    "may_be_zero": ["lora_a"],
}


def build():
    r = np.random.RandomState(234)
    kernel = tf.Variable(r.randn(4, 3).astype("float32"), name="kernel", trainable=False)
    a, b = tf.Variable(r.randn(4, 2).astype("float32"), name="lora_a"), tf.Variable(tf.zeros([2, 3]), name="lora_b")
    x, y = tf.constant(r.rand(5, 4), tf.float32), tf.constant(r.rand(5, 3), tf.float32)
    return (lambda: tf.reduce_mean(tf.square(x @ kernel + x @ a @ b - y))), [a, b]
