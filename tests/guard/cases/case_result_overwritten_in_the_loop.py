"""The heads' losses are assigned, not added: only the last head counts."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "not_used",
    "op_type": None,
    "line_marker": None,
    "none_variables": ["head0", "head1"],
    "healthy_variables": ["trunk", "head2"],
}


def build():
    r = np.random.RandomState(63)
    inp = keras.Input((4,))
    h = keras.layers.Dense(5, "tanh", name="trunk")(inp)
    model = keras.Model(inp, [keras.layers.Dense(1, name=f"head{i}")(h) for i in range(3)])
    x, ys = r.rand(6, 4).astype("float32"), [r.rand(6, 1).astype("float32") for _ in range(3)]

    def forward_loss():
        for y, out in zip(ys, model(x), strict=True):
            loss = tf.reduce_mean(tf.square(out - y))
        return loss

    return forward_loss, model.trainable_variables
