"""A hard Dice is added to the cross-entropy: the model learns by the latter; a temperature in the former does not."""

import keras
import numpy as np
import tensorflow as tf

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "Greater",
    "line_marker": "HERE",
    "none_variables": ["temperature"],
    "healthy_variables": ["mask"],
}


def build():
    r = np.random.RandomState(422)
    model = keras.Sequential([keras.layers.Input((6, 6, 1)), keras.layers.Conv2D(1, 3, padding="same", name="mask")])
    temperature = tf.Variable(1.0, name="temperature")
    x, y = r.rand(2, 6, 6, 1).astype("float32"), (r.rand(2, 6, 6, 1) > 0.5).astype("float32")

    def forward_loss():
        logits = model(x)
        hard = tf.cast(tf.sigmoid(logits / temperature) > 0.5, tf.float32)  # HERE
        dice = 1.0 - 2.0 * tf.reduce_sum(hard * y) / (tf.reduce_sum(hard + y) + 1.0)
        return dice + tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(y, logits))

    return forward_loss, [*model.trainable_variables, temperature]
