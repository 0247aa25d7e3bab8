"""The losses of several heads are added up as Python floats and made a tensor again."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "left_tensorflow",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "accept_markers": ["ALSO"],
    "graph": "grad",
}


def build():
    r = np.random.RandomState(51)
    inp = keras.Input((4,))
    model = keras.Model(inp, [keras.layers.Dense(2, name=f"head{i}")(inp) for i in range(3)])
    x, y = r.rand(5, 4).astype("float32"), r.rand(5, 2).astype("float32")

    def forward_loss():
        total = 0.0
        for out in model(x):
            total += float(tf.reduce_mean(tf.square(out - y)))  # HERE
        return tf.convert_to_tensor(total)  # ALSO

    return forward_loss, model.trainable_variables
