"""A U-Net whose encoder is a network from keras.applications."""

from __future__ import annotations

import inspect
import sys

import keras
import tensorflow as tf
from keras import layers

from configs.schema import Model
from trainer.errors import UserError
from trainer.models.blocks import conv_block, logits_head, step_up
from trainer.models.layers.dropout import Dropout
from trainer.models.synchronization import same_on_all_replicas

# Side of the image, in pixels, with which the strides of feature maps are found.
_SIDE = 64


def encoder_unet(config: Model, channels: int, outputs: int, *, synchronized: bool = False) -> keras.Model:
    """Builds a decoder on the named encoder's feature maps at strides 2 to 32.

    Shapes as `unet`; height and width are divisible by 32. Grey images are repeated to three channels. The encoder's
    own `preprocess_input` is applied inside, so the model takes pixel values 0..255.

    Raises:
      UserError: no such encoder, weights that do not load, or a network without the five strides.
    """
    images = keras.Input((None, None, channels), dtype="float32", name="image")
    x = layers.Concatenate(name="grey_to_rgb")([images] * 3) if channels == 1 else images
    encoder, preprocess = _encoder(config)
    encoder = same_on_all_replicas(encoder, config.norm_momentum, synchronized)
    encoder.trainable = config.encoder_trainable
    taps = _taps(encoder, config.encoder)
    features = keras.Model(encoder.inputs, [encoder.get_layer(name).output for name in taps], name="encoder")
    maps = features(layers.Lambda(preprocess, name="preprocess")(x) if preprocess else x)
    x = maps[-1]
    if config.dropout:
        x = Dropout(config.dropout, name="bottom_dropout")(x)
    for level in reversed(range(5)):
        width = config.width * 2**level
        x = step_up(x, width, config, f"up{level}")
        if level:
            x = layers.Concatenate(name=f"up{level}_skip")([x, maps[level - 1]])
        x = conv_block(x, width, config, f"up{level}", synchronized)
    return keras.Model(images, logits_head(x, outputs), name="encoder_unet")


def _encoder(config: Model):
    """The network without its top, and its module's preprocess_input."""
    factory = getattr(keras.applications, config.encoder, None)
    if not inspect.isfunction(factory):
        known = sorted(n for n in dir(keras.applications) if inspect.isfunction(getattr(keras.applications, n)))
        raise UserError(
            f"config.model.encoder: keras.applications has no network {config.encoder!r}.\n  It has: "
            f"{', '.join(known)}."
        )
    weights = config.encoder_weights or None
    try:
        encoder = factory(
            include_top=False, weights="imagenet" if weights == "imagenet" else None, input_shape=(None, None, 3)
        )
        if weights and weights != "imagenet":
            encoder.load_weights(weights)
    except Exception as error:
        if not weights or isinstance(error, (MemoryError, tf.errors.ResourceExhaustedError)):
            raise
        raise UserError(
            f"config.model.encoder_weights: the weights {weights!r} of {config.encoder} could not be loaded: {error}\n"
            "  Without a network, download the file once and give its path, or start at random: "
            "--config.model.encoder_weights="
        ) from error
    module = sys.modules[inspect.getmodule(inspect.unwrap(factory)).__name__]
    return encoder, getattr(module, "preprocess_input", None)


def _taps(encoder: keras.Model, name: str) -> list[str]:
    """Names of the last layers at strides 2, 4, 8, 16, 32."""
    probe = keras.Model(encoder.inputs, [layer.output for layer in encoder.layers])
    specs = probe.compute_output_spec(keras.KerasTensor((1, _SIDE, _SIDE, 3)))
    taps = {}
    for layer, spec in zip(encoder.layers, specs, strict=True):
        if len(spec.shape) == 4 and spec.shape[1] and _SIDE % spec.shape[1] == 0:
            taps[_SIDE // spec.shape[1]] = layer.name
    missing = [stride for stride in (2, 4, 8, 16, 32) if stride not in taps]
    if missing:
        raise UserError(
            f"config.model.encoder: {name} has no feature map at stride {', '.join(map(str, missing))}, so a U-Net "
            "cannot be built on it.\n  These can: MobileNetV2, MobileNetV3Small, EfficientNetB0, "
            "EfficientNetV2B0, ResNet50, DenseNet121."
        )
    return [taps[stride] for stride in (2, 4, 8, 16, 32)]
