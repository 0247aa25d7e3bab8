"""The auxiliary loss has the weight 0.0, left over from an ablation."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "zero_gradient",
    "op_type": "Mul",
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": ["trunk", "main"],
    "zero_variables": ["aux"],
}


def build():
    r = np.random.RandomState(114)
    inp = keras.Input((4,))
    h = keras.layers.Dense(5, "tanh", name="trunk")(inp)
    model = keras.Model(inp, [keras.layers.Dense(1, name="main")(h), keras.layers.Dense(1, name="aux")(h)])
    x, y = r.rand(5, 4).astype("float32"), r.rand(5, 1).astype("float32")
    aux_weight = 0.0

    def forward_loss():
        main, aux = model(x)
        loss = tf.reduce_mean(tf.square(main - y))
        loss += aux_weight * tf.reduce_mean(tf.square(aux - y))  # HERE
        return loss

    return forward_loss, model.trainable_variables
