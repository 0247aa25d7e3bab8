"""Everything is computed by a data set, whose iterator is made long before the step."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "left_tensorflow",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "accept_causes": ["outside_tape"],
    "accept_markers": ["ALSO"],
}


def build():
    r = np.random.RandomState(409)
    model = keras.Sequential([keras.layers.Input((4,)), keras.layers.Dense(2, name="out")])
    x = r.rand(6, 4).astype("float32")

    def predict(batch):
        return model(batch) * 2.0  # HERE

    stream = iter(
        tf.data.Dataset.from_tensor_slices(x).batch(3).map(predict, num_parallel_calls=2).repeat().prefetch(1)
    )  # ALSO

    def forward_loss():
        return tf.reduce_mean(tf.square(next(stream)))  # FIRST

    return forward_loss, model.trainable_variables
