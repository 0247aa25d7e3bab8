"""Cuts an image into overlapping tiles and joins their results, in graph ops on dynamic shapes.

`trainer.prediction.tile_grid` has the same along an axis for sizes known on the host.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf


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
      overlap: the least pixels that neighbours share; below `tile`.

    Returns:
      int32 `[tiles]`, rising, the first 0 and the last `length - tile`.
    """
    # A tile as long as a short axis may be smaller than the overlap.
    stride = tf.maximum(tile - overlap, 1)
    count = (length - tile + stride - 1) // stride + 1
    return tf.minimum(tf.range(count) * stride, length - tile)


def fitted_tile(length, tile: int, overlap: int, multiple: int):
    """The smallest side, a multiple of `multiple`, with which as few tiles cover an axis as with `tile`; int32 scalar.

    Tiles of a given size cover up to twice an image that is a little longer than one of them.
    """
    count = (tf.maximum(length - overlap, 1) + tile - overlap - 1) // (tile - overlap)
    return tf.minimum(rounded_up((length + (count - 1) * overlap + count - 1) // count, multiple), tile)


def ramps(starts, tile, overlap: int, length):
    """Weights of tiles' pixels along an axis, float32 `[tiles, tile]`; see `trainer.prediction.tile_grid.ramps`."""
    position, tile = tf.cast(tf.range(tile), tf.float32), tf.cast(tile, tf.float32)
    infinity = tf.fill([1, 1], float("inf"))
    starts, length = tf.cast(starts, tf.float32)[:, None], tf.cast(length, tf.float32)
    before = tf.where(starts == 0, infinity, position)
    after = tf.where(starts + tile == length, infinity, position[::-1])
    to_the_edge = tf.minimum(before, after) + 0.5
    return tf.clip_by_value((to_the_edge - overlap / 4.0) / (overlap / 2.0 + 1e-3), 1e-6, 1.0)


def tiled_logits(apply: Callable, image, tile, overlap: int, outputs: int, *, batch: int = 1, multiple: int = 1):
    """Applies a model tile by tile; where tiles overlap their logits are averaged, weighted towards tiles' middles.

    Some tiles are in the model at a time; besides them about four times the image's logits are held. Costs are linear
    in pixels: tiles are joined to rows, and rows to the image, by summing the values of the same pixel.

    Args:
      apply: `[n, tile height, tile width, channels]` -> logits `[n, tile height, tile width, outputs]`.
      image: `[1, height, width, channels]`, of any type that `apply` takes.
      tile: height and width of a tile, pixels; numbers, or int32 scalars.
      overlap: the least pixels that neighbouring tiles share; below both sides of the tile.
      outputs: channels of the logits.
      batch: tiles in the model at a time.
      multiple: tiles start at multiples of it if tile and overlap are multiples, since a network that halves its
        resolution has other results when moved by a pixel.

    Returns:
      float32 `[1, height, width, outputs]`.
    """
    true_height, true_width = tf.shape(image)[1], tf.shape(image)[2]
    height = rounded_up(tf.maximum(true_height, tile[0]), multiple)
    width = rounded_up(tf.maximum(true_width, tile[1]), multiple)
    # Smaller images are extended by mirroring, a tile at a time, without an extended copy of the image.
    lines, columns = mirrored_index(true_height, height), mirrored_index(true_width, width)
    tops, lefts = tile_starts(height, tile[0], overlap), tile_starts(width, tile[1], overlap)
    down, across = ramps(tops, tile[0], overlap, height), ramps(lefts, tile[1], overlap, width)
    sides = [side if isinstance(side, int) else None for side in tile]

    def add_row(number, rows):
        strip = tf.gather(image[0], lines[tops[number] : tops[number] + tile[0]])

        def add_tiles(first, joined):
            places = tf.gather(columns, lefts[first : first + batch, None] + tf.range(tile[1]))
            parts = tf.transpose(tf.gather(strip, places, axis=1), [1, 0, 2, 3])
            logits = tf.cast(apply(tf.ensure_shape(parts, [None, *sides, image.shape[-1]])), tf.float32)
            turned = tf.reshape(tf.transpose(logits, [0, 2, 1, 3]), [-1, tile[1], tile[0] * outputs])
            turned *= across[first : first + batch, :, None]
            return first + batch, joined.write(first // batch, tf.reshape(turned, [-1, tile[0] * outputs]))

        size = (tf.size(lefts) + batch - 1) // batch
        joined = tf.TensorArray(tf.float32, size=size, infer_shape=False, element_shape=[None, None])
        _, joined = tf.while_loop(lambda n, _: n < tf.size(lefts), add_tiles, (0, joined), parallel_iterations=1)
        row = tf.reshape(_joined(joined.concat(), lefts, across, width), [width, tile[0], outputs])
        row = tf.reshape(tf.transpose(row, [1, 0, 2]), [tile[0], width * outputs])
        return number + 1, rows.write(number, row * down[number][:, None])

    rows = tf.TensorArray(tf.float32, size=tf.size(tops), infer_shape=False, element_shape=[None, None])
    _, rows = tf.while_loop(lambda n, _: n < tf.size(tops), add_row, (0, rows), parallel_iterations=1)
    logits = _joined(rows.concat(), tops, down, height)
    return tf.reshape(logits, [1, height, width, outputs])[:, :true_height, :true_width]


def _joined(parts, starts, ramps, length):
    """The mean `[length, values]` of weighted parts `[tiles x tile, values]` at `starts` along an axis."""
    places = tf.reshape(starts[:, None] + tf.range(tf.shape(ramps)[1]), [-1])
    weights = tf.math.unsorted_segment_sum(tf.reshape(ramps, [-1, 1]), places, length)
    return tf.math.unsorted_segment_sum(parts, places, length) / weights


def whole_logits(apply: Callable, image, multiple: int):
    """Pads images to the multiple, applies the model, crops: `[b, h, w, channels]` -> float32 `[b, h, w, outputs]`."""
    height, width = tf.shape(image)[1], tf.shape(image)[2]
    logits = apply(padded_to(image, rounded_up(height, multiple), rounded_up(width, multiple)))
    return tf.cast(logits, tf.float32)[:, :height, :width]
