"""Runs images of any size through a model that needs multiples of a size, whole or in overlapping tiles.

Everything here is in graph ops on dynamic shapes, so that one trace serves images of every size.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from trainer.models.build import activation, logits_per_pixel, size_multiple
from trainer.models.inference_memory import footprint
from trainer.models.input_scaling import StandardizeImage
from trainer.models.inputs import call_model, fixed_size, input_names, spatial_inputs
from trainer.models.layers.group_normalization import GroupNormalization, given_statistics, pooled_statistics
from trainer.prediction import mosaics
from trainer.prediction.mirroring import mirrored
from trainer.prediction.tiling import fitted_tile, mirrored_index, padded_to, rounded_up, tiled_logits, whole_logits

# Side of a tile if the network allows it, in pixels; bytes of activations that an image taken whole may need.
_TILE, _MEMORY = 1024, 2 * 2**30
# The share of such a tile's side that neighbours have in common, as its inverse.
_SHARED = 8
# Side of the windows over which group normalisation takes the statistics of a tiled image, and their pixels in total:
# they go through the network first, all at once. A quarter of them changed the mean Dice of 2 MP by 0.006.
_WINDOW, _MOST = 384, 9 * 384**2
# Rows of an image at a time in sums over the whole image.
_ROWS = 64


def main_logits(outputs):
    """The full-resolution logits of a model that may return a list (deep supervision: full resolution first)."""
    return outputs[0] if isinstance(outputs, (list, tuple)) else outputs


@dataclasses.dataclass(frozen=True)
class Plan:
    """How large an image a network gets at once, and the tiles of larger ones.

    Attributes:
      whole: pixels of the largest image that is taken whole; 0 if tiles are requested.
      tile: height and width of a tile.
      overlap: pixels that neighbouring tiles share.
      batch: tiles at a time.
      multiple: tiles, their overlap and their positions are multiples of it.
      fitted: whether tiles may be smaller, if as few of them then cover the image.
      sample: the approximate number of pixels over which statistics of a tiled image are taken.
      reason: the reason in words.
    """

    whole: int
    tile: tuple[int, int]
    overlap: int
    batch: int
    multiple: int
    fitted: bool
    sample: int
    reason: str


def plan(model, config) -> Plan:
    """Whole or tiles: by the model's input or the config, or, if they leave it open, by the network's own sizes.

    A model that takes only one size gets tiles of that size.
    """
    multiple, tile = size_multiple(config, model), fixed_size(model) or tuple(config.evaluate.tile)
    if any(tile):
        why = "as its input says" if fixed_size(model) else "as config.evaluate.tile says"
        batch = max(1, _TILE**2 // 4 // (tile[0] * tile[1]))
        multiple = math.gcd(multiple, *tile)
        overlap = min(rounded_up(config.evaluate.tile_overlap, multiple), min(tile) - multiple)
        return Plan(0, tile, overlap, batch, multiple, False, _MOST, f"tiles of {tile[0]} x {tile[1]}, {why}")
    takes = footprint(model, config.data.channels)
    whole = takes.pixels(_MEMORY)
    side = max(multiple, min(_TILE, math.isqrt(whole)) // multiple * multiple)
    reason = (
        f"images up to {whole / 1e6:.1f} MP whole, larger ones in tiles of up to {side} x {side}: a pixel takes "
        f"{takes.activations:.0f} bytes of activations, and {takes.patches:.0f} in one convolution"
    )
    overlap = rounded_up(side // _SHARED, multiple) if side > multiple else 0
    return Plan(whole, (side, side), overlap, 1, multiple, True, min(_MOST, whole // 2), reason)


def crop_of_pictures(model, config) -> tuple[int, int] | None:
    """The training crop, which is needed to find the pictures in an image; None if they need not be found.

    They need not if a model is not known to take statistics of its image, or if the config says so.
    """
    if not config.evaluate.seams or len(config.augment.crop) != 2 or len(input_names(model)) > 1:
        return None
    if not isinstance(getattr(model, "layers", None), list):
        return None
    scaling = any(isinstance(layer, StandardizeImage) for layer in model.layers)
    looks = scaling or has_pooled_statistics(model)
    return tuple(config.augment.crop) if looks else None


@dataclasses.dataclass(frozen=True)
class Ways:
    """How images are treated that are not simply passed to the network, each in its own trace.

    Attributes:
      whole: pixels of the largest image that is taken whole; None if that does not depend on the image.
      crop: see `crop_of_pictures`.
      reason: why images are whole or in tiles, in words.
    """

    whole: int | None
    crop: tuple[int, int] | None
    reason: str

    @classmethod
    def of(cls, model, config) -> Ways:
        chosen = getattr(logits_function(model, config), "plan", None)
        whole = chosen.whole if chosen is not None and chosen.whole else None
        return cls(whole, crop_of_pictures(model, config), chosen.reason if chosen is not None else "")

    def options(self, images) -> dict[str, bool]:
        """The options of `logits_function` for batches `[1, height, width, channels]` that are computed in parallel."""
        large = any(self.whole is not None and image.shape[1] * image.shape[2] > self.whole for image in images)
        apart = self.crop is not None and any(
            mosaics.may_have(*image.shape[1:3], self.crop) and len(mosaics.parts(image.numpy()[0], self.crop)) > 1
            for image in images
        )
        return {"large": large, "apart": apart}

    def said(self, *, large: bool, apart: bool) -> str:
        """What is done with an image that has these options; empty if it is simply passed to the network."""
        said = []
        if apart:
            said.append(
                "An image of several pictures is taken apart at its seams, and each is seen by itself "
                "(--config.evaluate.seams=false leaves it whole)."
            )
        if large:
            said.append(f"A large image is cut: {self.reason}.")
        return "  note: " + " ".join(said) if said else ""


def logits_function(model, config, *, large: bool = True, apart: bool = False) -> Callable:
    """A batch of one image of any size -> logits float32 `[1, h, w, outputs]`, whole or in tiles.

    Args:
      model: from images to logits.
      config: `data`, `model`, `evaluate.tile`, `evaluate.tile_overlap` and `evaluate.mirror` are read.
      large: False if no image will be larger than `plan.whole`, so that cutting need not be traced.
      apart: whether images are divided at seams; see `Ways`.

    A batch is a mapping with "image", float32 `[1, h, w, channels]`, or with all inputs of a model with several, which
    sees the image whole.

    Tiles see almost the same as in the whole image: pixels are scaled before they are cut, and group normalisation
    takes its statistics over windows spread over the whole image, so that only the edges of tiles differ.
    The result's attribute `plan` says what is done with which size.
    """
    outputs = logits_per_pixel(config)
    multiple, names = size_multiple(config, model), input_names(model)
    if len(names) > 1 and fixed_size(model):
        return lambda batch: _tiles_of_several(model, batch, names, fixed_size(model), config, outputs)
    if len(names) > 1:
        return lambda batch: _whole_of_several(model, batch, names, multiple, config)
    chosen = plan(model, config)

    def maybe_mirrored(apply):
        return mirrored(apply, sigmoid=activation(config) == "sigmoid") if config.evaluate.mirror else apply

    def whole(image):
        image = tf.cast(image, tf.float32)
        return whole_logits(maybe_mirrored(lambda images: main_logits(model(images, training=False))), image, multiple)

    def tiles(image):
        scale, network = _before_the_network(model, image, multiple)
        tile = chosen.tile
        if chosen.fitted:
            lengths = (tf.shape(image)[1], tf.shape(image)[2])
            tile = [fitted_tile(*both, chosen.overlap, chosen.multiple) for both in zip(lengths, tile, strict=True)]

        def apply(parts):
            return main_logits(network(scale(tf.cast(parts, tf.float32)), training=False))

        kept = []
        if has_pooled_statistics(model):
            with pooled_statistics() as kept:
                apply(_windows(image, chosen))

        def apply_given(parts):
            with given_statistics(kept):
                return apply(parts)

        return tiled_logits(
            maybe_mirrored(apply_given if kept else apply),
            image,
            tile,
            chosen.overlap,
            outputs,
            batch=chosen.batch,
            multiple=chosen.multiple,
        )

    def logits_of(batch):
        image = batch["image"]
        if not chosen.whole:
            return tiles(image)
        if not large:
            return whole(image)
        pixels = tf.reduce_prod(tf.cast(tf.shape(image)[1:3], tf.int64))
        known = tf.get_static_value(pixels)
        if known is not None:
            return whole(image) if known <= chosen.whole else tiles(image)
        return tf.cond(pixels <= chosen.whole, lambda: whole(image), lambda: tiles(image))

    crop = crop_of_pictures(model, config) if apart else None

    def logits_of_pictures(batch):
        image = batch["image"]
        found, order = tf.numpy_function(
            lambda pixels: _pictures(pixels, crop), [image[0]], (tf.int32, tf.int32), stateful=False
        )
        found, order = tf.ensure_shape(found, [None, 4]), tf.ensure_shape(order, [None])

        def add(number, made):
            top, left, height, width = tf.unstack(found[number])
            picture = image[:, top : top + height, left : left + width]
            logits = tf.cast(logits_of({"image": picture}), tf.float32)
            return number + 1, made.write(number, tf.reshape(logits, [-1, outputs]))

        count = tf.shape(found)[0]
        made = tf.TensorArray(tf.float32, size=count, infer_shape=False, element_shape=[None, outputs])
        _, made = tf.while_loop(lambda number, _: number < count, add, (0, made), parallel_iterations=1)
        shape = tf.shape(image)
        return tf.reshape(tf.gather(made.concat(), order), [1, shape[1], shape[2], outputs])

    function = logits_of if crop is None else logits_of_pictures
    function.plan = chosen
    return function


def _pictures(image: np.ndarray, crop: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """An image's pictures, int32 `[n, 4]`, and each pixel's position in the sequence of theirs, int32 `[pixels]`."""
    found = mosaics.parts(image, crop)
    rows = np.array([dataclasses.astuple(part) for part in found], np.int32)
    return rows, mosaics.places(found, *image.shape[:2]).ravel()


def _before_the_network(model, image, multiple: int):
    """(scales a tile like its whole image, the network after that): a tile has other means than its image.

    Statistics are those of the whole image padded to the multiple, as the model itself would see it, taken a few rows
    at a time, so that no scaled copy of the image is held.
    """
    network = behind_standardization(model)
    if network is None:
        return lambda parts: parts, model
    shape = tf.shape(image)
    height, width = rounded_up(shape[1], multiple), rounded_up(shape[2], multiple)
    lines, columns = mirrored_index(shape[1], height), mirrored_index(shape[2], width)
    count = tf.cast(height, tf.float64) * tf.cast(width, tf.float64) * tf.cast(shape[3], tf.float64)

    def mean_of(values):
        def add(row, total):
            part = tf.gather(tf.gather(image[0], lines[row : row + _ROWS]), columns, axis=1)
            sums = tf.reduce_sum(values(tf.cast(part, tf.float32)), axis=[1, 2])
            return row + _ROWS, total + tf.reduce_sum(tf.cast(sums, tf.float64))

        start = (0, tf.zeros([], tf.float64))
        return tf.cast(tf.while_loop(lambda row, _: row < height, add, start)[1] / count, tf.float32)

    mean = mean_of(lambda part: part)
    deviation = tf.sqrt(tf.maximum(mean_of(lambda part: tf.math.squared_difference(part, mean)), 1.0))
    return lambda parts: (parts - mean) / deviation, network


def behind_standardization(model) -> keras.Model | None:
    """The part after a model's `StandardizeImage`, if it begins with one; otherwise None."""
    scaling = [layer for layer in model.layers if isinstance(layer, StandardizeImage)]
    return keras.Model(scaling[0].output, model.outputs) if scaling else None


def has_pooled_statistics(model) -> bool:
    """Whether a model takes statistics of each image inside, which its tiles do not have."""
    return any(isinstance(layer, GroupNormalization) for layer in model._flatten_layers())


def sample_starts(size, sides, most: int):
    """The windows over which an image's statistics are taken: all of a small image, evenly spaced over a large one.

    Args:
      size: the image's height and width, numbers or int32 scalars.
      sides: height and width of a window, at most those of the image.
      most: pixels of all windows in total, roughly.

    Returns:
      int32 rows and int32 columns of the starts; there is a window at each pair.
    """
    size, sides = ([tf.cast(n, tf.float32) for n in pair] for pair in (size, sides))
    pixels = size[0] * size[1]
    share = tf.sqrt(most / pixels)

    def starts(length, side):
        covering = tf.math.ceil(length / side)
        count = tf.where(share < 1, tf.clip_by_value(tf.floor(length / side * share + 0.5), 1, covering), covering)
        first = tf.where(count > 1, 0.0, (length - side) / 2)
        return tf.cast(first + tf.range(count) * (length - side) / tf.maximum(count - 1, 1), tf.int32)

    return starts(size[0], sides[0]), starts(size[1], sides[1])


def _windows(image, chosen: Plan):
    """The windows of `sample_starts` over an image, `[n, height, width, channels]`."""
    true_height, true_width = tf.shape(image)[1], tf.shape(image)[2]
    sides = sample_sides(chosen, (true_height, true_width))
    height, width = tf.maximum(true_height, sides[0]), tf.maximum(true_width, sides[1])
    lines, columns = mirrored_index(true_height, height), mirrored_index(true_width, width)
    down, across = sample_starts((height, width), sides, chosen.sample)
    rows = tf.gather(image[0], tf.gather(lines, down[:, None] + tf.range(sides[0])), axis=0)
    both = tf.gather(rows, tf.gather(columns, across[:, None] + tf.range(sides[1])), axis=2)
    windows = tf.reshape(tf.transpose(both, [0, 2, 1, 3, 4]), [-1, *sides, image.shape[-1]])
    return windows if chosen.fitted else tf.ensure_shape(windows, [None, *sides, image.shape[-1]])


def sample_sides(chosen: Plan, size):
    """Height and width of a window: those of tiles if these are fixed, since a model may take no other."""
    if not chosen.fitted:
        return chosen.tile
    side = rounded_up(_WINDOW, chosen.multiple)
    return [
        tf.minimum(min(side, most), rounded_up(n, chosen.multiple)) for most, n in zip(chosen.tile, size, strict=True)
    ]


def _tiles_of_several(model, batch, names, tile: tuple[int, int], config, outputs: int):
    """For a model with several inputs and one size: tiles all inputs as large as the image in one stack of channels."""
    sigmoid, spatial = activation(config) == "sigmoid", spatial_inputs(model)
    # A plane without an axis of channels is one channel of the stack.
    planes = [batch[name] if batch[name].shape.rank == 4 else batch[name][..., None] for name in spatial]

    def apply(stack):
        parts = dict(zip(spatial, tf.split(stack, [plane.shape[-1] for plane in planes], axis=-1), strict=True))
        inputs = {}
        for name in names:
            part = parts.get(name, batch[name])
            inputs[name] = tf.cast(
                part if part.shape.rank == batch[name].shape.rank else part[..., 0], batch[name].dtype
            )
        return main_logits(call_model(model, inputs, training=False))

    stack = tf.concat([tf.cast(plane, tf.float32) for plane in planes], axis=-1)
    apply = mirrored(apply, sigmoid=sigmoid) if config.evaluate.mirror else apply
    return tiled_logits(apply, stack, tile, min(config.evaluate.tile_overlap, min(tile) - 1), outputs)


def _whole_of_several(model, batch, names, multiple: int, config):
    """For a model with several inputs, which sees the image whole; inputs of its height and width are padded alike."""
    shape = tf.shape(batch["image"])
    height, width = rounded_up(shape[1], multiple), rounded_up(shape[2], multiple)
    spatial = spatial_inputs(model)
    inputs = {name: padded_to(batch[name], height, width) if name in spatial else batch[name] for name in names}

    def apply(inputs):
        return main_logits(call_model(model, inputs, training=False))

    if config.evaluate.mirror:
        apply = mirrored(apply, sigmoid=activation(config) == "sigmoid", keys=spatial)
    return tf.cast(apply(inputs), tf.float32)[:, : shape[1], : shape[2]]
