"""A continuous position is used as the index of an embedding table."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "integer_cast",
    "op_type": "Cast",
    "line_marker": "HERE",
    "none_variables": ["where"],
    "healthy_variables": ["table"],
    "accept_causes": ["non_differentiable_op"],
    "accept_ops": ["ResourceGather", "GatherV2"],
}


class Net(keras.Model):
    def __init__(self):
        super().__init__()
        self.where = keras.layers.Dense(1, "softplus", name="where")
        self.table = keras.layers.Embedding(10, 3, name="table")

    def call(self, x):
        position = tf.minimum(self.where(x), 9.0)
        return self.table(position)  # HERE


def build():
    r = np.random.RandomState(31)
    x = r.rand(5, 4).astype("float32")
    model = Net()
    model(x)
    return (lambda: tf.reduce_mean(tf.square(model(x) - 0.3))), model.trainable_variables
