"""A loaded SavedModel is an attribute of the model, which does not list its variables."""

import tempfile

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "untracked_variable",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": "all",
    "untracked_variables": ["mix_of_features"],
}


class Features(tf.Module):
    def __init__(self):
        self.mix = tf.Variable(np.random.RandomState(2).randn(4, 3).astype("float32"), name="mix_of_features")

    @tf.function(input_signature=[tf.TensorSpec([None, 4])])
    def __call__(self, x):
        return tf.nn.relu(x @ self.mix + 0.5)


class Tuned(keras.Model):
    def __init__(self, features):
        super().__init__()
        self.features = features
        self.head = keras.layers.Dense(1, name="head")

    def call(self, x):
        return self.head(self.features(x))  # HERE


def build():
    r = np.random.RandomState(420)
    folder = tempfile.mkdtemp()
    tf.saved_model.save(Features(), folder)
    model = Tuned(tf.saved_model.load(folder))
    x, y = r.rand(5, 4).astype("float32"), r.rand(5, 1).astype("float32")
    model(x)
    return (lambda: tf.reduce_mean(tf.square(model(x, training=True) - y))), model.trainable_variables
