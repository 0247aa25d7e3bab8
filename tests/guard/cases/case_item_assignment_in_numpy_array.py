"""A NumPy buffer is filled with the predictions element by element."""

import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "left_tensorflow",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
    "accept_markers": ["ALSO"],
    "graph": "raises:NotImplementedError",
}


def build():
    r = np.random.RandomState(57)
    w = tf.Variable(r.randn(4, 3).astype("float32"), name="w")
    x = tf.constant(r.rand(3, 4), tf.float32)

    def forward_loss():
        buffer = np.zeros((3, 3), "float32")
        for i in range(3):
            buffer[i] = tf.linalg.matvec(w, x[i], transpose_a=True)  # HERE
        return tf.reduce_mean(tf.square(tf.convert_to_tensor(buffer) - 1.0))  # ALSO

    return forward_loss, [w]
