"""The U-Net (Ronneberger, Fischer, Brox 2015), with normalisation and same-size convolutions."""

from __future__ import annotations

import keras
from keras import layers

from configs.schema import Model
from trainer.models.blocks import conv_block, logits_head, scale_input, step_up
from trainer.models.layers.dropout import Dropout


def unet(config: Model, channels: int, outputs: int, *, synchronized: bool = False) -> keras.Model:
    """Builds the U-Net.

    Args:
      config: width, depth, normalisation, dropout, up-sampling, input scaling, deep supervision.
      channels: channels of the input image.
      outputs: logits a pixel.
      synchronized: batch statistics over all replicas.

    Returns:
      A model from float32 images `[batch, height, width, channels]`, values 0..255, height and width divisible by
      `2**depth`, to float32 logits `[batch, height, width, outputs]`; with deep supervision to a list of them, the
      full resolution first, each next one half as large.
    """
    images = keras.Input((None, None, channels), dtype="float32", name="image")
    x = scale_input(images, config.input_scaling)
    skips = []
    for level in range(config.depth):
        x = conv_block(x, config.width * 2**level, config, f"down{level}", synchronized)
        skips.append(x)
        x = layers.MaxPooling2D(2, name=f"down{level}_pool")(x)
    x = conv_block(x, config.width * 2**config.depth, config, "bottom", synchronized)
    if config.dropout:
        x = Dropout(config.dropout, name="bottom_dropout")(x)
    coarse = []
    for level in reversed(range(config.depth)):
        x = step_up(x, config.width * 2**level, config, f"up{level}")
        x = layers.Concatenate(name=f"up{level}_skip")([x, skips[level]])
        x = conv_block(x, config.width * 2**level, config, f"up{level}", synchronized)
        if config.deep_supervision and 0 < level < config.depth - 1:
            coarse.append(logits_head(x, outputs, f"logits_{2**level}"))
    logits = logits_head(x, outputs)
    return keras.Model(images, [logits, *reversed(coarse)] if coarse else logits, name="unet")
