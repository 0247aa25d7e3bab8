"""The building blocks of both U-Nets: input scaling, convolution blocks, the step up, and the head."""

from __future__ import annotations

from keras import layers

from configs.schema import Model
from trainer.models.layers.batch_normalization import BatchNormalization
from trainer.models.layers.group_normalization import GroupNormalization


def normalize(x, config: Model, name: str, synchronized: bool):
    """One normalisation layer. It computes in float32 whatever the policy: float16 cannot hold a sum of squares."""
    if config.normalization == "batch":
        return BatchNormalization(config.norm_momentum, synchronized=synchronized, name=f"{name}_bn")(x)
    if config.normalization == "group":
        return GroupNormalization(_groups(x.shape[-1]), name=f"{name}_gn")(x)
    if config.normalization == "instance":
        return GroupNormalization(x.shape[-1], name=f"{name}_in")(x)
    return x


def of_rank(kind: str, x):
    """Keras's layer of a kind for as many axes of space as `x` has: "Conv" is Conv2D for images."""
    return getattr(layers, f"{kind}{len(x.shape) - 2}D")


def conv_block(x, channels: int, config: Model, name: str, synchronized: bool, kernel=3, residual: bool = False):
    """Two convolutions, 3x3 by default, each normalised and rectified.

    A convolution in front of a normalisation by channel has no bias: the normalisation would remove it, its gradient is
    rounding noise, and Adam would turn that noise into steps of full size.

    Args:
      kernel: the convolutions' side, or sides.
      residual: the input is added before the last rectification, through a 1x1 convolution if its channels differ
        (He et al. 2016, "Deep residual learning for image recognition").
    """
    by_channel = config.normalization in ("batch", "instance") or (
        config.normalization == "group" and _groups(channels) == channels
    )

    def convolved(x, side, part):
        x = of_rank("Conv", x)(
            channels,
            side,
            padding="same",
            use_bias=not by_channel,
            kernel_initializer="he_normal",
            name=f"{part}_conv",
        )(x)
        return normalize(x, config, part, synchronized)

    before = x
    for i in (1, 2):
        x = convolved(x, kernel, f"{name}_{i}")
        if residual and i == 2:
            beside = before if before.shape[-1] == channels else convolved(before, 1, f"{name}_0")
            x = layers.Add(name=f"{name}_add")([x, beside])
        x = layers.ReLU(name=f"{name}_{i}_relu")(x)
    return x


def _groups(channels: int) -> int:
    """The largest number of equal groups of channels, up to eight."""
    return max(g for g in range(1, min(8, channels) + 1) if channels % g == 0)


def step_up(x, channels: int, config: Model, name: str, factors=2):
    """`factors` times the size along each axis; `channels` channels if it learns, otherwise as many as before."""
    if config.upsampling == "transpose":
        layer = layers.Conv3DTranspose if len(x.shape) == 5 else layers.Conv2DTranspose
        return layer(channels, factors, strides=factors, name=f"{name}_up")(x)
    if len(x.shape) == 5:
        return layers.UpSampling3D(factors, name=f"{name}_up")(x)
    return layers.UpSampling2D(factors, interpolation=config.upsampling, name=f"{name}_up")(x)


def logits_head(x, outputs: int, name: str = "logits"):
    """A 1x1 convolution in float32 whatever the policy: a loss on float16 logits is already too inexact."""
    return of_rank("Conv", x)(outputs, 1, dtype="float32", name=name)(x)
