"""Distillation: the teacher runs under stop_gradient, and its variables are in the list, too."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "stop_gradient",
    "op_type": "StopGradient",
    "line_marker": "HERE",
    "none_variables": ["teacher"],
    "healthy_variables": ["student"],
}


def build():
    r = np.random.RandomState(426)
    teacher = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3, name="teacher")])
    student = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(3, name="student")])
    x = r.rand(6, 4).astype("float32")

    def forward_loss():
        soft = tf.stop_gradient(tf.nn.softmax(teacher(x) / 2.0))  # HERE
        return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(soft, student(x) / 2.0))

    return forward_loss, teacher.trainable_variables + student.trainable_variables
