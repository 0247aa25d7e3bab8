"""Images of any size through a model that wants multiples of a size, whole or in overlapping tiles put back together.

Everything here is in graph ops on dynamic shapes, so that one trace serves images of every size.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from trainer.models.build import size_multiple
from trainer.models.inputs import call_model, fixed_size, input_names


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
    stride = tile - overlap
    count = (length - tile + stride - 1) // stride + 1
    return tf.minimum(tf.range(count) * stride, length - tile)


def _ramp(tile: int, overlap: int):
    """Weight of a tile's pixels along an axis: rises over the overlap, so that neither tile's edge shows."""
    position = tf.range(tile, dtype=tf.float32)
    to_the_edge = tf.minimum(position, tile - 1.0 - position) + 1.0
    return tf.minimum(to_the_edge / (overlap + 1.0), 1.0)


def tiled_logits(apply: Callable, image, tile: tuple[int, int], overlap: int, outputs: int):
    """Applies a model tile by tile; where tiles overlap their logits are averaged, weighted towards tiles' middles.

    Only one tile is in the model at a time; besides it the image's logits are held.

    Args:
      apply: image `[1, tile height, tile width, channels]` -> logits `[1, tile height, tile width, outputs]`.
      image: float32 `[1, height, width, channels]`.
      tile: height and width of a tile, pixels.
      overlap: pixels that neighbouring tiles share at least; below both sides of the tile.
      outputs: channels of the logits.

    Returns:
      float32 `[1, height, width, outputs]`.
    """
    true_height, true_width = tf.shape(image)[1], tf.shape(image)[2]
    height, width = tf.maximum(true_height, tile[0]), tf.maximum(true_width, tile[1])
    image = padded_to(image, height, width)
    tops = tile_starts(height, tile[0], overlap)
    lefts = tile_starts(width, tile[1], overlap)
    weight = (_ramp(tile[0], overlap)[:, None] * _ramp(tile[1], overlap)[None, :])[..., None]
    offsets = tf.stack(tf.meshgrid(tf.range(tile[0]), tf.range(tile[1]), indexing="ij"), axis=-1)
    channels = image.shape[-1]

    def add_tile(number, total, weights):
        top, left = tops[number // tf.size(lefts)], lefts[number % tf.size(lefts)]
        part = image[:, top : top + tile[0], left : left + tile[1], :]
        logits = apply(tf.ensure_shape(part, [1, tile[0], tile[1], channels]))
        where = offsets + tf.stack([top, left])
        total = tf.tensor_scatter_nd_add(total, where, tf.cast(logits[0], tf.float32) * weight)
        return number + 1, total, tf.tensor_scatter_nd_add(weights, where, weight)

    count = tf.size(tops) * tf.size(lefts)
    _, total, weights = tf.while_loop(
        lambda number, *_: number < count,
        add_tile,
        (0, tf.zeros([height, width, outputs]), tf.zeros([height, width, 1])),
        parallel_iterations=1,
        shape_invariants=(
            tf.TensorShape([]),
            tf.TensorShape([None, None, outputs]),
            tf.TensorShape([None, None, 1]),
        ),
    )
    return (total / weights)[None, :true_height, :true_width]


def whole_logits(apply: Callable, image, multiple: int):
    """Pads images to the multiple, applies the model, crops: `[b, h, w, channels]` -> float32 `[b, h, w, outputs]`."""
    height, width = tf.shape(image)[1], tf.shape(image)[2]
    logits = apply(padded_to(image, rounded_up(height, multiple), rounded_up(width, multiple)))
    return tf.cast(logits, tf.float32)[:, :height, :width]


def logits_function(model, config) -> Callable:
    """As the config says: a batch of one image of any size -> logits float32 `[1, h, w, outputs]`.

    A batch is a mapping with "image", float32 `[1, h, w, channels]`, or with all inputs of a model of several.
    """
    outputs = 1 if config.model.outputs == "sigmoid" else len(config.data.classes)
    multiple, names = size_multiple(config), input_names(model)
    if len(names) > 1 and fixed_size(model):
        return lambda batch: _tiles_of_several(model, batch, names, fixed_size(model), config, outputs)
    if len(names) > 1:
        return lambda batch: _whole_of_several(model, batch, names, multiple)

    def apply(image):
        return main_logits(model(image, training=False))

    tile = fixed_size(model) or config.evaluate.tile
    if any(tile):
        overlap = min(config.evaluate.tile_overlap, min(tile) - 1)
        return lambda batch: tiled_logits(apply, batch["image"], tile, overlap, outputs)
    return lambda batch: whole_logits(apply, batch["image"], multiple)


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
