"""What an exported model computes: uint8 images of which sizes in, ids and probabilities out."""

from __future__ import annotations

import dataclasses

import tensorflow as tf

from configs.schema import Config
from trainer.models.build import size_multiples
from trainer.models.inputs import fixed_size, size_trouble
from trainer.prediction.tiling import mirrored_index, rounded_up
from trainer.prediction.windows import main_logits
from trainer.stepping.segmentation import predicted, probabilities


@dataclasses.dataclass(frozen=True)
class Sizes:
    """Which images the exported model takes: `fixed` are their sides where a format or the model wants one size.

    multiples: of which sides are multiples after padding, one an axis.
    any: whether the model takes every size, padded inside; `why` not.
    """

    fixed: tuple[int, ...]
    multiples: tuple[int, ...]
    any: bool
    why: str = ""

    @classmethod
    def of(cls, model, config: Config) -> Sizes:
        usual = tuple(config.evaluate.tile) if any(config.evaluate.tile) else tuple(config.augment.crop)
        fixed, ones = fixed_size(model), (1,) * len(usual)
        if fixed is not None:
            return cls(fixed, ones, False, "the model takes no other size")
        trouble = size_trouble(model, config.data.channels, usual)
        if trouble is not None:
            return cls(usual, ones, False, str(trouble))
        multiples = size_multiples(config, model)
        sides = zip(usual, multiples, strict=True)
        return cls(tuple(rounded_up(side, multiple) for side, multiple in sides), multiples, True)

    @property
    def free(self) -> tuple[int | None, ...]:
        """The sides in the signature of a format that takes images of any size."""
        return (None,) * len(self.fixed) if self.any else self.fixed

    @property
    def dtype(self) -> tf.DType:
        """Of the input: volumes have no range of 0 to 255."""
        return tf.float32 if len(self.fixed) == 3 else tf.uint8


def decision(config: Config) -> str:
    """What the output that decides is called: ids of classes, or, where they overlap, 0 and 1 for each."""
    return "labels" if config.data.multi_label else "class_ids"


def outputs(logits, config: Config):
    multi_label = config.data.multi_label
    return {decision(config): predicted(logits, multi_label), "probabilities": probabilities(logits, multi_label)}


def serving_function(model, config: Config, sizes: Sizes):
    """Images `[batch, *space, channels]` -> ids and probabilities in that size."""

    def serve(image):
        image = tf.cast(image, tf.float32)
        if not sizes.any:
            return outputs(tf.cast(main_logits(model(image, training=False)), tf.float32), config)
        shape, padded = tf.shape(image), image
        for axis, multiple in enumerate(sizes.multiples, start=1):
            padded = tf.gather(padded, mirrored_index(shape[axis], rounded_up(shape[axis], multiple)), axis=axis)
        logits = tf.cast(main_logits(model(padded, training=False)), tf.float32)
        space = [slice(0, shape[axis]) for axis in range(1, len(sizes.multiples) + 1)]
        return outputs(logits[(slice(None), *space)], config)

    return serve
