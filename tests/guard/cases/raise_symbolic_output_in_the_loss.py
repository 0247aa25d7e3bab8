"""The loss is written with `model.output`, the symbol that the model was built with."""

import keras
import tensorflow as tf

EXPECT = {
    "cause": "outside_tape",
    "op_type": None,
    "line_marker": "HERE",
    "none_variables": [],
    "healthy_variables": [],
    "raises": "ValueError",
}


def build():
    features = keras.Input((4,))
    model = keras.Model(features, keras.layers.Dense(1, name="only")(features))

    def forward_loss():
        return tf.reduce_mean(tf.square(model.output - 1.0) + tf.abs(model.output))  # HERE

    return forward_loss, model.trainable_variables
