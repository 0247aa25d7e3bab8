"""The function of an exported model: from uint8 images, of certain sizes, to ids and probabilities."""

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
    """The sizes of images for the exported model: `fixed` are their sides if a format or the model needs one size.

    multiples: sides are padded to multiples of these, one for each axis.
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
        """That of the input: volumes have no range of 0 to 255."""
        return tf.float32 if len(self.fixed) == 3 else tf.uint8


def decision(config: Config) -> str:
    """The name of the output with the decision: ids of classes, or, if they overlap, 0 and 1 for each."""
    return "labels" if config.data.multi_label else "class_ids"


def outputs(logits, config: Config):
    multi_label = config.data.multi_label
    return {decision(config): predicted(logits, multi_label), "probabilities": probabilities(logits, multi_label)}


def serving_function(model, config: Config, sizes: Sizes):
    """A function from images `[batch, *space, channels]` to ids and probabilities of that size."""

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
