"""tf.nest.map_structure(tf.stop_gradient, outputs) detaches all heads of a dict."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "stop_gradient",
    "op_type": "StopGradient",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
}


def build():
    r = np.random.RandomState(94)
    inp = keras.Input((4,))
    model = keras.Model(
        inp, {"a": keras.layers.Dense(1, name="head_a")(inp), "b": keras.layers.Dense(2, name="head_b")(inp)}
    )
    x = r.rand(5, 4).astype("float32")

    def forward_loss():
        outputs = tf.nest.map_structure(tf.stop_gradient, model(x))  # HERE
        return tf.add_n([tf.reduce_mean(tf.square(out - 1.0)) for out in outputs.values()])

    return forward_loss, model.trainable_variables
