"""How pixels are scaled on their way into a network: to 0..1, or each image to mean 0 and deviation 1."""

from __future__ import annotations

import keras
from keras import layers


@keras.saving.register_keras_serializable("gradline")
class StandardizeImage(layers.Layer):
    """Shifts and scales each image to mean 0 and deviation 1 over its pixels and channels, in float32.

    Input and output: `[batch, *space, channels]`. The deviation is bounded below by one grey level, so that an
    empty image stays finite and its noise is not blown up.
    """

    def __init__(self, **kwargs):
        super().__init__(dtype="float32", **kwargs)

    def call(self, images):
        axes = tuple(range(1, len(images.shape)))
        mean = keras.ops.mean(images, axis=axes, keepdims=True)
        variance = keras.ops.mean(keras.ops.square(images - mean), axis=axes, keepdims=True)
        deviation = keras.ops.sqrt(keras.ops.maximum(variance, 1.0))
        # The outer maximum only prevents TensorFlow from rewriting x / sqrt(v) to x * rsqrt(v), whose last bit depends
        # on how many images are beside this one.
        return (images - mean) / keras.ops.maximum(deviation, 1.0)


def scale_input(images, how: str):
    """Pixel values 0..255 scaled for the network; see `Model.input_scaling`."""
    if how == "unit":
        return layers.Rescaling(1.0 / 255.0, dtype="float32", name="to_unit")(images)
    if how == "standardize":
        return StandardizeImage(name="standardize")(images)
    return images
