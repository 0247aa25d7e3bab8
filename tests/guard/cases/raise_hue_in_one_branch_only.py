"""adjust_hue sits in one branch; the weight of the other would learn, but tape.gradient raises for all."""

import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "AdjustHue",
    "line_marker": "HERE",
    "none_variables": ["pixels"],
    "healthy_variables": ["clean"],
    "raises": "LookupError",
}


def build():
    r = np.random.RandomState(105)
    pixels = tf.Variable(r.rand(1, 4, 4, 3).astype("float32"), name="pixels")
    clean = tf.Variable(0.5, name="clean")

    def forward_loss():
        turned = tf.image.adjust_hue(pixels, 0.2)  # HERE
        return tf.reduce_mean(tf.square(turned)) + tf.square(clean - 1.0)

    return forward_loss, [pixels, clean]
