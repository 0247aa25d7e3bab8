"""Batches as a function of (config, seed, step): the same in any process, from any step on, at no cost before it.

Example number n of a run is step * batch_size + its position in the global batch. n // len(source) is its epoch and
n % len(source) its place in that epoch's order; what is done to the image is drawn from (seed, n). Nothing else enters,
so there is no iterator state to save, and a replica or worker computes its own slice without the others'.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from configs.schema import Config
from trainer.data.augment.draws import order
from trainer.data.augment.placement import crop_image, crop_label, draw, recolor
from trainer.data.errors import DataError
from trainer.data.source import Source

_AHEAD = 4


def training_batches(
    source: Source,
    config: Config,
    *,
    start_step: int,
    steps: int,
    shard_index: int = 0,
    shard_count: int = 1,
    parts: int = 1,
) -> tf.data.Dataset:
    """The batches of steps start_step … start_step + steps - 1.

    Args:
      source: the split to train on.
      config: batch_size, seed, crop and augmentation, workers, and what a bad file does.
      start_step: the first step, from 0.
      steps: how many.
      shard_index: which of `shard_count` equal consecutive slices of the global batch, one a worker.
      shard_count: the number of workers.
      parts: elements a shard's slice comes in, one after the other: one for each local replica or micro-batch.
    Returns:
      steps * parts elements, each with b = batch_size / (shard_count * parts):
        "image": float32 `[b, *crop, channels]`, 0..255;
        "label": int32 `[b, *crop]`, void where the crop reaches beyond the image;
        "index": int64 `[b]`, the examples' positions in the source.
      Iterating raises an error in which `data_error_from` finds the `DataError`, where a file cannot be used and
      data.bad_files is "stop"; with "skip" the next good example takes its place and `source.skipped` names it.
    """
    if not len(source):
        raise DataError(f"The {source.split} split is empty.")
    size = _share(config.train.batch_size, shard_count, parts)
    offset = shard_index * parts * size
    crop = tuple(config.augment.crop)

    def batch_of(element):
        step, part = divmod(int(element), parts)
        first = step * config.train.batch_size + offset + part * size
        return make_batch(source, config, range(first, first + size))

    def element(number):
        image, label, index = _call(batch_of, number, (tf.float32, tf.int32, tf.int64))
        image.set_shape((size, *crop, source.channels))
        label.set_shape((size, *crop))
        index.set_shape((size,))
        return {"image": image, "label": label, "index": index}

    numbers = tf.data.Dataset.range(start_step * parts, (start_step + steps) * parts)
    return _in_parallel(numbers, element, config, _AHEAD * parts)


def make_batch(source: Source, config: Config, numbers: range) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The examples with these numbers, augmented: images, labels and indices, as `training_batches` gives them."""
    crop = tuple(config.augment.crop)
    images = np.empty((len(numbers), *crop, source.channels), np.float32)
    labels = np.empty((len(numbers), *crop), np.int32)
    indices = np.empty(len(numbers), np.int64)
    for row, number in enumerate(numbers):
        epoch, place = divmod(number, len(source))
        index = int(order(config.seed, epoch, len(source))[place])
        if config.data.bad_files == "skip":
            index, example = source.load_good(index)
        else:
            example = source.load_compact(index)
        drawn = draw(config.augment, config.seed, number, example.label.shape)
        recolor(crop_image(example.image, drawn.placement, crop), drawn, out=images[row])
        labels[row] = crop_label(example.label, drawn.placement, crop, source.void_id)
        indices[row] = index
    return images, labels, indices


def evaluation_batches(
    source: Source,
    config: Config,
    *,
    multiple: int,
    shard_index: int = 0,
    shard_count: int = 1,
    parts: int = 1,
) -> tf.data.Dataset:
    """Every image of a split once, at its own resolution, one a batch.

    Args:
      source: the split to evaluate.
      config: workers, and what a bad file does.
      multiple: height and width are padded up to multiples of this, at the bottom and the right.
      shard_index, shard_count, parts: as in `training_batches`; all shards and parts get equally many elements.
    Returns:
      elements of
        "image": float32 `[1, h, w, channels]`, 0..255, mirrored in the padding;
        "label": int32 `[1, h, w]`, void in the padding;
        "index": int64 `[1]`, the example's position, -1 in an element that only fills up;
        "valid": float32 `[1]`, 1, or 0 where the element only fills up or the example was skipped;
        "size": int32 `[1, 2]`, height and width before padding.
    """
    if not len(source):
        raise DataError(f"The {source.split} split is empty.")
    shards = shard_count * parts
    rounds = -(-len(source) // shards)

    def example_of(number):
        turn, part = divmod(int(number), parts)
        return _padded(source, config, turn * shards + shard_index * parts + part, multiple)

    def element(number):
        types = (tf.float32, tf.int32, tf.int64, tf.float32, tf.int32)
        image, label, index, valid, size = _call(example_of, number, types)
        image.set_shape((1, None, None, source.channels))
        label.set_shape((1, None, None))
        for value in (index, valid):
            value.set_shape((1,))
        size.set_shape((1, 2))
        return {"image": image, "label": label, "index": index, "valid": valid, "size": size}

    return _in_parallel(tf.data.Dataset.range(rounds * parts), element, config, 2 * parts)


def _padded(source: Source, config: Config, index: int, multiple: int) -> tuple[np.ndarray, ...]:
    example = None
    if index < len(source):
        try:
            example = source.load_compact(index)
        except DataError as error:
            if config.data.bad_files != "skip":
                raise
            source.skipped[source.names[index]] = str(error)
    if example is None:
        image = np.zeros((1, multiple, multiple, source.channels), np.float32)
        label = np.full((1, multiple, multiple), source.void_id, np.int32)
        position = index if index < len(source) else -1
        return image, label, np.array([position]), np.zeros(1, np.float32), np.full((1, 2), multiple, np.int32)
    height, width = example.label.shape
    margin = ((0, -height % multiple), (0, -width % multiple))
    image = np.pad(example.image, (*margin, (0, 0)), mode="symmetric")
    image = np.broadcast_to(image, (*image.shape[:2], source.channels)).astype(np.float32)
    label = np.pad(example.label.astype(np.int32), margin, constant_values=source.void_id)
    size = np.array([[height, width]], np.int32)
    return image[None], label[None], np.array([index], np.int64), np.ones(1, np.float32), size


def _call(function, number, types):
    # Stateless, as it is: what it gives depends on the number alone. A stateful function would be called by one thread
    # at a time under --deterministic.
    return tf.numpy_function(function, [number], types, stateful=False)


def _in_parallel(numbers: tf.data.Dataset, element, config: Config, ahead: int) -> tf.data.Dataset:
    options = tf.data.Options()
    options.deterministic = True
    # Shards are cut above; TensorFlow must not cut again.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    workers = config.data.workers or tf.data.AUTOTUNE
    return numbers.map(element, num_parallel_calls=workers).prefetch(ahead).with_options(options)


def _share(batch_size: int, shard_count: int, parts: int) -> int:
    size, rest = divmod(batch_size, shard_count * parts)
    if rest or not size:
        raise ValueError(
            f"The global batch cannot be cut into equal parts: batch_size={batch_size} over {shard_count} workers of "
            f"{parts} parts each. Make it a multiple of {shard_count * parts}. "
            f"Received: batch_size={batch_size}, shard_count={shard_count}, parts={parts}"
        )
    return size
