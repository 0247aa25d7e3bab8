"""Batches as a function of (config, seed, step): the same in any process, from any step on, at no cost before it.

Example number n of a run is step * batch_size + its position in the global batch. n // len(source) is its epoch and
n % len(source) its place in that epoch's order; its augmentation is drawn from (seed, n). Nothing else matters, so
there is no iterator state to save, and a replica or worker computes its own slice without the others'.
A user's `tf.data.Dataset` has its own order: there example n is its n-th element, found by skipping.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping, MutableMapping

import numpy as np
import tensorflow as tf

from configs.schema import Config
from trainer.data.augment.draws import order
from trainer.data.augment.intensity import varies, vary
from trainer.data.augment.own import apply_own
from trainer.data.augment.patches import draw_patch, place_image, positions_of
from trainer.data.augment.placement import crop_image, crop_label, draw, draw_warp, over_foreground, recolor
from trainer.data.augment.warp import Warp, warped
from trainer.data.errors import DataError
from trainer.data.example import Example, Feature
from trainer.data.numpy_datasets import batcher, called, in_parallel, ordered, types_of
from trainer.data.processes import Processes, fingerprint
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
    processes: bool = False,
) -> tf.data.Dataset:
    """The batches of steps start_step … start_step + steps - 1.

    Args:
      source: the split to train on.
      config: batch_size, seed, crop and augmentation, workers, and the policy for bad files.
      start_step: the first step, from 0.
      steps: the number of steps.
      shard_index: which of `shard_count` equal consecutive slices of the global batch, one a worker.
      shard_count: the number of workers.
      parts: the number of elements into which a shard's slice is divided: one for each local replica or micro-batch.
      processes: whether to use data.processes: not worth their start for a batch or two. `source.close()` ends them.
    Returns:
      steps * parts elements, each with b = batch_size / (shard_count * parts):
        "image": float32 `[b, *crop, channels]`, 0..255 where the images have 8 bits;
        "label": int32 `[b, *crop]`, void where the crop reaches beyond the image (absent where examples have none;
          float32 where they hold fractions);
        "index": int64 `[b]`, the examples' positions in the source;
        the examples' extra keys: `[b, *crop, …]` if they follow the image, otherwise `[b, …]`.
      Iterating raises an error in which `data_error_from` finds the `DataError`, where a file cannot be used and
      data.bad_files is "stop"; with "skip" the next good example takes its place and `source.skipped` names it.
    """
    if source.length == 0:
        raise DataError(f"The {source.split} split is empty.")
    if hasattr(source, "prepare"):
        source.prepare(stop=config.data.bad_files == "stop")
    size = _share(config.train.batch_size, shard_count, parts)
    offset = shard_index * parts * size
    shapes = {key: (size, *f.batch_shape(*config.augment.crop)) for key, f in source.features.items()}
    shapes["index"] = (size,)
    if source.stream is not None:
        if processes and config.data.processes:
            raise DataError(
                f"config.data.processes={config.data.processes}: a tf.data.Dataset is read in its own order, by "
                "tf.data. Give its map a num_parallel_calls=tf.data.AUTOTUNE, and write --config.data.processes=0"
            )
        return _streamed(source, config, start_step, steps, slice(offset, offset + parts * size), size, shapes)

    pool = _pool(source, config, shapes) if processes and config.data.processes else None

    def batch_of(element):
        step, part = divmod(int(element), parts)
        first = step * config.train.batch_size + offset + part * size
        numbers = range(first, first + size)
        return make_batch(source, config, numbers) if pool is None else pool.batch(numbers, source.skipped)

    numbers = tf.data.Dataset.range(start_step * parts, (start_step + steps) * parts)
    at_a_time = pool.at_a_time if pool is not None else 0
    return in_parallel(numbers, batcher(batch_of, source, shapes), config, _AHEAD * parts, at_a_time)


def _pool(source: Source, config: Config, shapes: Mapping[str, tuple]) -> Processes:
    """The source's pool, kept from call to call."""
    if source.pool is None:
        opening = dataclasses.replace(source.opening, config=config, examples=fingerprint(source))
        source.pool = Processes(opening, shapes, dict(types_of(source.features, shapes)), config.data.processes)
    return source.pool


def batches_ahead(config: Config) -> int:
    """This process's whole batches that may exist at a time: buffered, being made, and in the step."""
    return _AHEAD + 1 + (config.data.workers or os.cpu_count() or 1)


def _streamed(source, config: Config, start_step: int, steps: int, mine: slice, size: int, shapes) -> tf.data.Dataset:
    """As `training_batches`, for a `tf.data.Dataset`: all workers read all of it and take their slice of each batch."""
    batch_size, stream = config.train.batch_size, source.stream
    elements = stream.elements.repeat() if stream.repeats else stream.elements
    first = start_step * batch_size
    numbered = elements.skip(first).take(steps * batch_size).enumerate(first)
    if mine != slice(0, batch_size):
        numbered = numbered.filter(lambda n, *_: (n % batch_size >= mine.start) & (n % batch_size < mine.stop))

    def example_of(number, *values):
        return augmented(source, config, int(number), stream.example(int(number), values))

    features = source.features
    shapes_of_one = {key: shape[1:] for key, shape in shapes.items()}

    def element(number, value):
        return called(example_of, [number, *stream.flat(value)], features, shapes_of_one)

    made = numbered.map(element, num_parallel_calls=config.data.workers or tf.data.AUTOTUNE)
    return ordered(made.batch(size, drop_remainder=True).prefetch(_AHEAD))


def make_batch(
    source: Source, config: Config, numbers: Iterable[int], out: Mapping[str, np.ndarray] | None = None
) -> dict[str, np.ndarray]:
    """The examples with these numbers, augmented, by key, as in `training_batches`.

    Args:
      out: arrays to write to, by key; others are allocated.
    """
    numbers, batch = list(numbers), dict(out or {})
    for key, feature in source.features.items():
        if key not in batch:
            batch[key] = np.empty((len(numbers), *feature.batch_shape(*config.augment.crop)), feature.dtype)
    if "index" not in batch:
        batch["index"] = np.empty(len(numbers), np.int64)
    for row, number in enumerate(numbers):
        epoch, place = divmod(number, len(source))
        index = int(order(config.seed, epoch, len(source))[place])
        if config.data.bad_files == "skip":
            index, example = source.load_good(index)
        else:
            example = source.load_compact(index)
        augmented(source, config, number, example, {key: batch[key][row : row + 1] for key in source.features})
        batch["index"][row] = index
    return batch


def augmented(
    source: Source, config: Config, number: int, example: Example, out: MutableMapping[str, np.ndarray] | None = None
) -> dict[str, np.ndarray]:
    """Example number `number` of a run as in a batch, by key.

    Args:
      out: one row of each key's batch, `[1, …]`, to write to; new arrays by default.
    """
    features, crop = source.features, tuple(config.augment.crop)
    if out is None:
        out = {key: np.empty((1, *f.batch_shape(*crop)), f.dtype) for key, f in features.items()}
    place = _place_volume if len(crop) == 3 else _place_image
    place(source, config, number, example, out)
    if source.functions:
        changed = apply_own(
            source.functions,
            {key: np.asarray(row[0], features[key].dtype) for key, row in out.items()},
            features,
            seed=config.seed,
            number=number,
            name=example.name,
            classes=len(source.classes),
            void_id=source.void_id,
        )
        for key, value in changed.items():
            out[key][...] = value
    row_of_each = {key: row[0] for key, row in out.items()}
    row_of_each["index"] = np.int64(number if source.length is None else number % source.length)
    return row_of_each


def _place_image(source: Source, config: Config, number: int, example: Example, out) -> None:
    features, crop, augment = source.features, tuple(config.augment.crop), config.augment
    drawn = draw(augment, config.seed, number, example.size)
    if augment.foreground and "label" in features and features["label"].kind == "ids":
        drawn = over_foreground(drawn, augment, example.label, source.void_id, config.seed, number)
    warp = draw_warp(augment, config.seed, number, drawn.placement)
    if warp is None:
        cropped = crop_image(example.image, drawn.placement, crop)
    else:
        cropped = warped(example.image, warp, order=1, outside=None)
        if example.image.dtype == np.uint8:
            cropped = np.rint(cropped).astype(np.uint8)
    recolor(cropped, drawn, out["image"][0], example.span)
    if varies(augment):
        vary(out["image"][0], augment, config.seed, number)
    values = example.beside_image
    for key, feature in features.items():
        if key != "image":
            out[key][...] = _placed(values[key], feature, drawn.placement if warp is None else warp, crop)


def _place_volume(source: Source, config: Config, number: int, example: Example, out) -> None:
    augment, seed, void = config.augment, config.seed, source.void_id
    about = (getattr(example, name, default) for name, default in (("spacing", (1.0,) * 3), ("positions", None)))
    spacing, positions = about
    if positions is None:
        label = example.label if augment.foreground and source.features["label"].kind == "ids" else None
        positions = positions_of(label, void)
    warp = draw_patch(augment, seed, number, example.size, spacing, positions)
    place_image(example.image, warp, augment, seed, number, example.span, out["image"][0])
    values = example.beside_image
    for key, feature in source.features.items():
        if key != "image":
            out[key][...] = _placed(values[key], feature, warp, tuple(augment.crop))


def _placed(value: np.ndarray, feature: Feature, placement, crop: tuple[int, ...]) -> np.ndarray:
    if feature.kind == "values":
        return value
    if isinstance(placement, Warp):
        planes = value.reshape(*value.shape[: len(crop)], -1)
        order, outside = (0, feature.outside) if feature.kind == "ids" else (1, None)
        if order == 0 and not np.can_cast(np.min_scalar_type(outside), planes.dtype):
            planes = planes.astype(feature.dtype)
        return warped(planes, placement, order=order, outside=outside).reshape(*crop, *feature.shape)
    if feature.kind == "ids":
        return crop_label(value, placement, crop, feature.outside, feature.dtype)
    planes = value.reshape(*value.shape[:2], -1)
    return crop_image(planes, placement, crop).reshape(*crop, *feature.shape)


def _share(batch_size: int, shard_count: int, parts: int) -> int:
    size, rest = divmod(batch_size, shard_count * parts)
    if rest or not size:
        raise ValueError(
            f"The global batch cannot be cut into equal parts: batch_size={batch_size} over {shard_count} workers of "
            f"{parts} parts each. Make it a multiple of {shard_count * parts}. Received: batch_size={batch_size}, "
            f"shard_count={shard_count}, parts={parts}"
        )
    return size
