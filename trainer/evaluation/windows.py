"""Images of any size through a model that wants multiples of a size, whole or in overlapping tiles put back together.

Everything here is in graph ops on dynamic shapes, so that one trace serves images of every size.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import keras
import tensorflow as tf

from trainer.models.blocks import StandardizeImage
from trainer.models.build import logits_per_pixel, size_multiple
from trainer.models.footprint import footprint
from trainer.models.inputs import call_model, fixed_size, input_names
from trainer.models.layers.group_normalization import GroupNormalization, given_statistics, pooled_statistics

# Side of a tile where the network allows it, in pixels; bytes of activations that an image taken whole may need.
_TILE, _MEMORY = 1024, 1.25 * 2**30
# The share of such a tile's side, one in so many, that neighbours have in common.
_SHARED = 8
# Side of the windows over which group normalisation takes the statistics of a tiled image, and their pixels together.
_WINDOW, _SAMPLE = 384, 9 * 384**2
# Rows of an image at a time in sums over all of it.
_ROWS = 64


def main_logits(outputs):
    """The full-resolution logits of a model that may return a list (deep supervision: full resolution first)."""
    return outputs[0] if isinstance(outputs, (list, tuple)) else outputs


def mirrored_index(length, target):
    """Indices that extend an axis of `length` to `target` by mirroring without repeating the edge: 0 1 2 1 0 1 2 …

    tf.pad's REFLECT does the same but refuses to pad by more than length - 1.
    """
    period = tf.maximum(2 * length - 2, 1)
    position = tf.range(target) % period
    return tf.minimum(position, period - position) % tf.maximum(length, 1)


def padded_to(image, height, width):
    """Extends images `[batch, h, w, channels]` at the bottom and right to `[batch, height, width, channels]`."""
    shape = tf.shape(image)
    image = tf.gather(image, mirrored_index(shape[1], height), axis=1)
    return tf.gather(image, mirrored_index(shape[2], width), axis=2)


def rounded_up(size, multiple: int):
    """The smallest multiple that is not below `size`."""
    # Without negative numbers: ONNX divides integers towards zero.
    return (size + multiple - 1) // multiple * multiple


def tile_starts(length, tile: int, overlap: int):
    """Where tiles start along an axis: every `tile - overlap` pixels, the last one moved back to end with the axis.

    Args:
      length: int32 scalar tensor, at least `tile`.
      tile: pixels of a tile.
      overlap: pixels that neighbours share at least; below `tile`.

    Returns:
      int32 `[tiles]`, rising, the first 0 and the last `length - tile`.
    """
    # A tile that is the whole of a short axis may be smaller than the overlap.
    stride = tf.maximum(tile - overlap, 1)
    count = (length - tile + stride - 1) // stride + 1
    return tf.minimum(tf.range(count) * stride, length - tile)


def fitted_tile(length, tile: int, overlap: int, multiple: int):
    """The smallest side, a multiple of `multiple`, with which as few tiles cover an axis as with `tile`; int32 scalar.

    Tiles of one given size cover up to twice an image that is a little longer than one of them.
    """
    count = (tf.maximum(length - overlap, 1) + tile - overlap - 1) // (tile - overlap)
    return tf.minimum(rounded_up((length + (count - 1) * overlap + count - 1) // count, multiple), tile)


def _ramp(tile, overlap: int):
    """Weight of a tile's pixels along an axis, `[tile, 1]`.

    Nothing in the outer quarter of the overlap, where a tile lacks what lies around it, unless no other tile has the
    pixel; then rising over half of it, so that no edge shows.
    """
    position = tf.cast(tf.range(tile), tf.float32)
    to_the_edge = tf.minimum(position, position[::-1]) + 0.5
    return tf.clip_by_value((to_the_edge - overlap / 4.0) / (overlap / 2.0 + 1e-3), 1e-6, 1.0)[:, None]


def tiled_logits(apply: Callable, image, tile, overlap: int, outputs: int, *, batch: int = 1, multiple: int = 1):
    """Applies a model tile by tile; where tiles overlap their logits are averaged, weighted towards tiles' middles.

    Some tiles are in the model at a time; besides them some four times the image's logits are held. Costs are linear in
    pixels: tiles are joined to rows, and rows to the image, by a sum over what lies at the same place.

    Args:
      apply: `[n, tile height, tile width, channels]` -> logits `[n, tile height, tile width, outputs]`.
      image: `[1, height, width, channels]`, of any type that `apply` takes.
      tile: height and width of a tile, pixels; numbers, or int32 scalars.
      overlap: pixels that neighbouring tiles share at least; below both sides of the tile.
      outputs: channels of the logits.
      batch: tiles in the model at a time.
      multiple: tiles start at multiples of it where tile and overlap are such, since a network that halves its
        resolution gives other results a pixel further.

    Returns:
      float32 `[1, height, width, outputs]`.
    """
    true_height, true_width = tf.shape(image)[1], tf.shape(image)[2]
    height = rounded_up(tf.maximum(true_height, tile[0]), multiple)
    width = rounded_up(tf.maximum(true_width, tile[1]), multiple)
    # Smaller images are extended by mirroring, a tile at a time: an extended copy of the image is not made.
    lines, columns = mirrored_index(true_height, height), mirrored_index(true_width, width)
    tops, lefts = tile_starts(height, tile[0], overlap), tile_starts(width, tile[1], overlap)
    down, across = _ramp(tile[0], overlap), _ramp(tile[1], overlap)
    sides = [side if isinstance(side, int) else None for side in tile]

    def add_row(number, rows):
        strip = tf.gather(image[0], lines[tops[number] : tops[number] + tile[0]])

        def add_tiles(first, joined):
            places = tf.gather(columns, lefts[first : first + batch, None] + tf.range(tile[1]))
            parts = tf.transpose(tf.gather(strip, places, axis=1), [1, 0, 2, 3])
            logits = tf.cast(apply(tf.ensure_shape(parts, [None, *sides, image.shape[-1]])), tf.float32)
            turned = tf.reshape(tf.transpose(logits, [0, 2, 1, 3]), [-1, tile[1], tile[0] * outputs]) * across
            return first + batch, joined.write(first // batch, tf.reshape(turned, [-1, tile[0] * outputs]))

        size = (tf.size(lefts) + batch - 1) // batch
        joined = tf.TensorArray(tf.float32, size=size, infer_shape=False, element_shape=[None, None])
        _, joined = tf.while_loop(lambda n, _: n < tf.size(lefts), add_tiles, (0, joined), parallel_iterations=1)
        row = tf.reshape(_joined(joined.concat(), lefts, across, width), [width, tile[0], outputs])
        row = tf.reshape(tf.transpose(row, [1, 0, 2]), [tile[0], width * outputs])
        return number + 1, rows.write(number, row * down)

    rows = tf.TensorArray(tf.float32, size=tf.size(tops), infer_shape=False, element_shape=[None, None])
    _, rows = tf.while_loop(lambda n, _: n < tf.size(tops), add_row, (0, rows), parallel_iterations=1)
    logits = _joined(rows.concat(), tops, down, height)
    return tf.reshape(logits, [1, height, width, outputs])[:, :true_height, :true_width]


def _joined(parts, starts, ramp, length):
    """Weighted parts `[tiles x tile, values]` that lie at `starts` along an axis, as their mean `[length, values]`."""
    places = tf.reshape(starts[:, None] + tf.range(tf.shape(ramp)[0]), [-1])
    weights = tf.math.unsorted_segment_sum(tf.tile(ramp, [tf.size(starts), 1]), places, length)
    return tf.math.unsorted_segment_sum(parts, places, length) / weights


def whole_logits(apply: Callable, image, multiple: int):
    """Pads images to the multiple, applies the model, crops: `[b, h, w, channels]` -> float32 `[b, h, w, outputs]`."""
    height, width = tf.shape(image)[1], tf.shape(image)[2]
    logits = apply(padded_to(image, rounded_up(height, multiple), rounded_up(width, multiple)))
    return tf.cast(logits, tf.float32)[:, :height, :width]


@dataclasses.dataclass(frozen=True)
class Plan:
    """How large an image a network is given at once, and what larger ones are cut into.

    Attributes:
      whole: pixels of the largest image that is taken whole; 0 where tiles are asked for.
      tile: height and width of a tile.
      overlap: pixels that neighbouring tiles share.
      batch: tiles at a time.
      multiple: of which tiles, their overlap and their places are multiples.
      fitted: tiles may be smaller, where as few of them then cover the image.
      reason: in words.
    """

    whole: int
    tile: tuple[int, int]
    overlap: int
    batch: int
    multiple: int
    fitted: bool
    reason: str


def plan(model, config) -> Plan:
    """Whole or tiles: as the model's input or the config says, or by the network's own sizes where they leave it open.

    A model with an input of one size alone gets tiles of that size.
    """
    multiple, tile = size_multiple(config), fixed_size(model) or tuple(config.evaluate.tile)
    if any(tile):
        why = "as its input says" if fixed_size(model) else "as config.evaluate.tile says"
        batch = max(1, _TILE**2 // 4 // (tile[0] * tile[1]))
        multiple = math.gcd(multiple, *tile)
        overlap = min(rounded_up(config.evaluate.tile_overlap, multiple), min(tile) - multiple)
        return Plan(0, tile, overlap, batch, multiple, False, f"tiles of {tile[0]} x {tile[1]}, {why}")
    takes = footprint(model, config.data.channels)
    whole = takes.pixels(_MEMORY)
    side = max(multiple, min(_TILE, math.isqrt(whole)) // multiple * multiple)
    reason = (
        f"images up to {whole / 1e6:.1f} MP whole, larger ones in tiles of up to {side} x {side}: a pixel takes "
        f"{takes.activations:.0f} bytes of activations, and {takes.patches:.0f} in one convolution"
    )
    overlap = rounded_up(side // _SHARED, multiple) if side > multiple else 0
    return Plan(whole, (side, side), overlap, 1, multiple, True, reason)


def logits_function(model, config) -> Callable:
    """A batch of one image of any size -> logits float32 `[1, h, w, outputs]`, whole or in tiles.

    A batch is a mapping with "image", float32 `[1, h, w, channels]`, or with all inputs of a model of several, which
    sees the image whole.

    Tiles see what the whole image would show them: its pixels are scaled before they are cut, and group normalisation
    takes its statistics over windows spread over all of it. So what is left of the choice is the edge of a tile.
    The result's attribute `plan` says what is done with which size.
    """
    outputs = logits_per_pixel(config)
    multiple, names = size_multiple(config), input_names(model)
    if len(names) > 1 and fixed_size(model):
        return lambda batch: _tiles_of_several(model, batch, names, fixed_size(model), config, outputs)
    if len(names) > 1:
        return lambda batch: _whole_of_several(model, batch, names, multiple)
    chosen = plan(model, config)

    def whole(image):
        image = tf.cast(image, tf.float32)
        return whole_logits(lambda images: main_logits(model(images, training=False)), image, multiple)

    def tiles(image):
        scale, network = _before_the_network(model, image, multiple)
        tile = chosen.tile
        if chosen.fitted:
            lengths = (tf.shape(image)[1], tf.shape(image)[2])
            tile = [fitted_tile(*both, chosen.overlap, chosen.multiple) for both in zip(lengths, tile, strict=True)]

        def apply(parts):
            return main_logits(network(scale(tf.cast(parts, tf.float32)), training=False))

        kept = []
        if any(isinstance(layer, GroupNormalization) for layer in model._flatten_layers()):
            with pooled_statistics() as kept:
                apply(_windows(image, chosen.tile, multiple))

        def apply_given(parts):
            with given_statistics(kept):
                return apply(parts)

        return tiled_logits(
            apply_given if kept else apply,
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
        pixels = tf.reduce_prod(tf.cast(tf.shape(image)[1:3], tf.int64))
        known = tf.get_static_value(pixels)
        if known is not None:
            return whole(image) if known <= chosen.whole else tiles(image)
        return tf.cond(pixels <= chosen.whole, lambda: whole(image), lambda: tiles(image))

    logits_of.plan = chosen
    return logits_of


def _before_the_network(model, image, multiple: int):
    """(what scales a tile as its whole image is scaled, the network after that): a tile has other means than its image.

    Statistics are those of the whole image padded to the multiple, as the model itself would see it, taken a few rows
    at a time, so that no scaled copy of the image is held.
    """
    scaling = [layer for layer in model.layers if isinstance(layer, StandardizeImage)]
    if not scaling:
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
    return lambda parts: (parts - mean) / deviation, keras.Model(scaling[0].output, model.outputs)


def _windows(image, tile: tuple[int, int], multiple: int):
    """Windows spread evenly over an image, `[n, height, width, channels]`: all of it, or nine windows of it."""
    sides = [min(side, rounded_up(_WINDOW, multiple)) for side in tile]
    true_height, true_width = tf.shape(image)[1], tf.shape(image)[2]
    height, width = tf.maximum(true_height, sides[0]), tf.maximum(true_width, sides[1])
    lines, columns = mirrored_index(true_height, height), mirrored_index(true_width, width)
    most = max(1, math.isqrt(_SAMPLE // (sides[0] * sides[1])))

    def starts(length, side):
        count = tf.minimum((length + side - 1) // side, most)
        step = tf.cast(length - side, tf.float32) / tf.cast(tf.maximum(count - 1, 1), tf.float32)
        return tf.cast(tf.range(tf.cast(count, tf.float32)) * step, tf.int32)

    rows = tf.gather(image[0], tf.gather(lines, starts(height, sides[0])[:, None] + tf.range(sides[0])), axis=0)
    both = tf.gather(rows, tf.gather(columns, starts(width, sides[1])[:, None] + tf.range(sides[1])), axis=2)
    windows = tf.reshape(tf.transpose(both, [0, 2, 1, 3, 4]), [-1, *sides, image.shape[-1]])
    return tf.ensure_shape(windows, [None, *sides, image.shape[-1]])


def _tiles_of_several(model, batch, names, tile: tuple[int, int], config, outputs: int):
    """A model of several inputs and one size: what is as large as the image goes through in one stack of channels."""
    spatial = [name for name in names if batch[name].shape.rank == 4]
    channels = [batch[name].shape[-1] for name in spatial]

    def apply(stack):
        parts = dict(zip(spatial, tf.split(stack, channels, axis=-1), strict=True))
        inputs = {n: tf.cast(parts[n], batch[n].dtype) if n in parts else batch[n] for n in names}
        return main_logits(call_model(model, inputs, training=False))

    stack = tf.concat([tf.cast(batch[name], tf.float32) for name in spatial], axis=-1)
    return tiled_logits(apply, stack, tile, min(config.evaluate.tile_overlap, min(tile) - 1), outputs)


def _whole_of_several(model, batch, names, multiple: int):
    """A model of several inputs sees the image whole; inputs of its height and width are padded alike."""
    shape = tf.shape(batch["image"])
    height, width = rounded_up(shape[1], multiple), rounded_up(shape[2], multiple)
    spatial = {name for name in names if batch[name].shape.rank == 4}
    inputs = {name: padded_to(batch[name], height, width) if name in spatial else batch[name] for name in names}
    logits = main_logits(call_model(model, inputs, training=False))
    return tf.cast(logits, tf.float32)[:, : shape[1], : shape[2]]
