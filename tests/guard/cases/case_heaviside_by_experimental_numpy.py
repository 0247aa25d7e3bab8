"""A spiking neuron fires with tf.experimental.numpy.heaviside."""

import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": ["membrane"],
    "healthy_variables": ["readout"],
}


def build():
    import tensorflow.experimental.numpy as tnp

    r = np.random.RandomState(307)
    membrane = tf.Variable(r.randn(4, 5).astype("float32"), name="membrane")
    readout = tf.Variable(r.randn(5, 1).astype("float32"), name="readout")
    x = tf.constant(r.rand(6, 4), tf.float32)

    def forward_loss():
        spikes = tnp.heaviside(x @ membrane, 0.5)  # HERE
        return tf.reduce_mean(tf.square(tf.cast(spikes, tf.float32) @ readout - 1.0))

    return forward_loss, [membrane, readout]
