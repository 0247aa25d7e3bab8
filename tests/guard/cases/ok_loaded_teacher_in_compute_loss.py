"""A distiller keeps a loaded teacher as an attribute, and uses it in compute_loss alone."""

import tempfile

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


class Teacher(tf.Module):
    def __init__(self):
        self.w = tf.Variable(np.random.RandomState(3).randn(4, 3).astype("float32"), name="teacher_w")

    @tf.function(input_signature=[tf.TensorSpec([None, 4])])
    def __call__(self, x):
        return tf.nn.softmax(x @ self.w)


class Distiller(keras.Model):
    def __init__(self, teacher):
        super().__init__()
        self.teacher = teacher
        self.student = keras.layers.Dense(3, name="student")

    def call(self, x):
        return self.student(x)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(self.teacher(x), y_pred))


def build():
    r = np.random.RandomState(422)
    folder = tempfile.mkdtemp()
    tf.saved_model.save(Teacher(), folder)
    model = Distiller(tf.saved_model.load(folder))
    x = tf.constant(r.rand(5, 4), tf.float32)
    model(x)
    return (lambda: model.compute_loss(x=x, y_pred=model(x, training=True))), model.trainable_variables
