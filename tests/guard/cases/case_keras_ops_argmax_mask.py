"""A segmentation map made with keras.ops.argmax is compared with the label map."""

import keras
import numpy as np

EXPECT = {
    "cause": "non_differentiable_op",
    "op_type": "ArgMax",
    "line_marker": "HERE",
    "none_variables": "all",
    "healthy_variables": [],
}


def pixel_error(y_true, y_pred):
    segmentation = keras.ops.argmax(y_pred, axis=-1)  # HERE
    segmentation = keras.ops.cast(segmentation, "float32")
    return keras.ops.mean(keras.ops.abs(segmentation - y_true))


def build():
    r = np.random.RandomState(1)
    model = keras.Sequential(
        [keras.layers.Input((8, 8, 1)), keras.layers.Conv2D(3, 3, padding="same", activation="softmax", name="map")]
    )
    x, y = r.rand(2, 8, 8, 1).astype("float32"), r.randint(0, 3, (2, 8, 8)).astype("float32")
    return (lambda: pixel_error(y, model(x, training=True))), model.trainable_variables
