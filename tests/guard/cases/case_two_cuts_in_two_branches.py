"""A mask branch is rounded and a class branch detached; the regression branch is healthy."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "Round",
    "line_marker": "HERE",
    "none_variables": ["mask", "cls"],
    "healthy_variables": ["trunk", "box"],
    "accept_causes": ["stop_gradient"],
    "causes_by_variable": {"mask": "non_differentiable_op", "cls": "stop_gradient"},
    "accept_ops": ["StopGradient"],
    "accept_markers": ["ALSO"],
}


def build():
    r = np.random.RandomState(96)
    inp = keras.Input((4,))
    h = keras.layers.Dense(5, "tanh", name="trunk")(inp)
    model = keras.Model(
        inp,
        [
            keras.layers.Dense(3, "sigmoid", name="mask")(h),
            keras.layers.Dense(2, "softmax", name="cls")(h),
            keras.layers.Dense(4, name="box")(h),
        ],
    )
    x = r.rand(6, 4).astype("float32")

    def forward_loss():
        mask, cls, box = model(x)
        mask_loss = tf.reduce_mean(tf.abs(tf.round(mask) - 1.0))  # HERE
        cls_loss = -tf.reduce_mean(tf.math.log(tf.stop_gradient(cls)[:, 0] + 1e-6))  # ALSO
        return mask_loss + cls_loss + tf.reduce_mean(tf.square(box))

    return forward_loss, model.trainable_variables
