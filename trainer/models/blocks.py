"""The pieces both U-Nets are made of: input scaling, convolution blocks, the step up, and the head."""

from __future__ import annotations

import keras
from keras import layers

from configs.schema import Model
from trainer.models.layers.batch_normalization import BatchNormalization
from trainer.models.layers.group_normalization import GroupNormalization


@keras.saving.register_keras_serializable("gradline")
class StandardizeImage(layers.Layer):
    """Shifts and scales each image to mean 0 and deviation 1 over its pixels and channels, in float32.

    Input and output: `[batch, height, width, channels]`. The deviation is bounded below by one grey level, so that an
    empty image stays finite and its noise is not blown up.
    """

    def __init__(self, **kwargs):
        super().__init__(dtype="float32", **kwargs)

    def call(self, images):
        mean = keras.ops.mean(images, axis=(1, 2, 3), keepdims=True)
        variance = keras.ops.mean(keras.ops.square(images - mean), axis=(1, 2, 3), keepdims=True)
        deviation = keras.ops.sqrt(keras.ops.maximum(variance, 1.0))
        # The outer maximum changes nothing but this: TensorFlow rewrites x / sqrt(v) to x * rsqrt(v), whose last bit
        # depends on how many images are beside this one.
        return (images - mean) / keras.ops.maximum(deviation, 1.0)


def scale_input(images, how: str):
    """Pixel values 0..255 as the network wants them; see `Model.input_scaling`."""
    if how == "unit":
        return layers.Rescaling(1.0 / 255.0, dtype="float32", name="to_unit")(images)
    if how == "standardize":
        return StandardizeImage(name="standardize")(images)
    return images


def normalize(x, config: Model, name: str, synchronized: bool):
    """One normalisation layer. It computes in float32 whatever the policy: float16 cannot hold a sum of squares."""
    if config.normalization == "batch":
        return BatchNormalization(config.norm_momentum, synchronized=synchronized, name=f"{name}_bn")(x)
    if config.normalization == "group":
        return GroupNormalization(_groups(x.shape[-1]), name=f"{name}_gn")(x)
    return x


def conv_block(x, channels: int, config: Model, name: str, synchronized: bool):
    """Two 3x3 convolutions, each normalised and rectified.

    A convolution in front of a normalisation by channel has no bias: the normalisation takes it away again, its
    gradient is rounding noise, and Adam would turn that noise into steps of full size.
    """
    by_channel = config.normalization == "batch" or (config.normalization == "group" and _groups(channels) == channels)
    for i in (1, 2):
        part = f"{name}_{i}"
        x = layers.Conv2D(
            channels,
            3,
            padding="same",
            use_bias=not by_channel,
            kernel_initializer="he_normal",
            name=f"{part}_conv",
        )(x)
        x = normalize(x, config, part, synchronized)
        x = layers.ReLU(name=f"{part}_relu")(x)
    return x


def _groups(channels: int) -> int:
    """The largest number of equal groups of channels, up to eight."""
    return max(g for g in range(1, min(8, channels) + 1) if channels % g == 0)


def step_up(x, channels: int, config: Model, name: str):
    """Twice the height and width, `channels` channels."""
    if config.upsampling == "transpose":
        return layers.Conv2DTranspose(channels, 2, strides=2, name=f"{name}_up")(x)
    return layers.UpSampling2D(2, interpolation=config.upsampling, name=f"{name}_up")(x)


def logits_head(x, outputs: int, name: str = "logits"):
    """A 1x1 convolution in float32 whatever the policy: a loss on float16 logits has lost before it starts."""
    return layers.Conv2D(outputs, 1, dtype="float32", name=name)(x)
