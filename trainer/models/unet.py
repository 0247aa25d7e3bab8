"""The U-Net (Ronneberger, Fischer, Brox 2015), with normalisation and same-size convolutions, for images or volumes."""

from __future__ import annotations

import keras
from keras import layers

from configs.reading.levels import Levels
from configs.schema import Model
from trainer.models.blocks import conv_block, logits_head, of_rank, step_up
from trainer.models.input_scaling import scale_input
from trainer.models.layers.dropout import Dropout


def unet(config: Model, channels: int, outputs: int, levels: Levels, *, synchronized: bool = False) -> keras.Model:
    """Builds the U-Net.

    Args:
      config: width, normalisation, dropout, up-sampling, input scaling, residual blocks, deep supervision.
      channels: channels of the input image.
      outputs: logits of each pixel.
      levels: the effect of each level on each axis; their number of axes is the model's. The 3-D U-Net (Çiçek et al.
        2016) has three.
      synchronized: batch statistics over all replicas.

    Returns:
      A model from float32 images `[batch, *space, channels]`, with the data's values (0..255 for images) and sides
      divisible by `levels.multiples`, to float32 logits `[batch, *space, outputs]`; with deep supervision to a list of
      them, the full resolution first, each further one a level smaller.
    """
    rank, depth = len(levels.kernels[0]), len(levels.strides)
    images = keras.Input((*(None,) * rank, channels), dtype="float32", name="image")

    def block(x, level: int, name: str, residual: bool = False):
        width = config.width * 2**level
        width = min(width, config.most_channels) if config.most_channels else width
        return width, conv_block(x, width, config, name, synchronized, levels.kernels[level], residual)

    x = scale_input(images, config.input_scaling)
    skips = []
    for level, factors in enumerate(levels.strides):
        width, x = block(x, level, f"down{level}", config.residual)
        skips.append((width, x))
        x = of_rank("MaxPooling", x)(factors, name=f"down{level}_pool")(x)
    _, x = block(x, depth, "bottom", config.residual)
    if config.dropout:
        x = Dropout(config.dropout, name="bottom_dropout")(x)
    coarse = []
    for level in reversed(range(depth)):
        width, skip = skips[level]
        x = step_up(x, width, config, f"up{level}", levels.strides[level])
        x = layers.Concatenate(name=f"up{level}_skip")([x, skip])
        _, x = block(x, level, f"up{level}")
        if config.deep_supervision and 0 < level < depth - 1:
            coarse.append(logits_head(x, outputs, f"logits_{2**level}"))
    logits = logits_head(x, outputs)
    return keras.Model(images, [logits, *reversed(coarse)] if coarse else logits, name="unet")
