"""The examples of a split for scoring: each once, at its own resolution, in a batch of its own."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from configs.reading.levels import rank_of
from configs.schema import Config
from trainer.data.errors import DataError
from trainer.data.example import Example
from trainer.data.numpy_datasets import batcher, called, in_parallel, ordered
from trainer.data.source import Source


def evaluation_batches(
    source: Source,
    config: Config,
    *,
    multiple: int,
    shard_index: int = 0,
    shard_count: int = 1,
    parts: int = 1,
) -> tf.data.Dataset:
    """Every image of a split once, at its own resolution, in a batch of its own.

    Args:
      source: the split to evaluate.
      config: workers, and the policy for bad files.
      multiple: sides are padded up to multiples of this, at the bottom and the right.
      shard_index, shard_count, parts: as in `training_batches`; all shards and parts get equally many elements.
    Returns:
      elements of
        "image": float32 `[1, h, w, channels]`, mirrored in the padding;
        "label": int32 `[1, h, w]`, void in the padding (absent where examples have none; float32 where they hold
          fractions);
        "index": int64 `[1]`, the example's position, -1 in an element that is only padding;
        "valid": float32 `[1]`, 1, or 0 where the element is only padding or the example was skipped;
        "size": int32 `[1, 2]` (of volumes `[1, 3]`), the sides before padding;
        the examples' extra keys: `[1, h, w, …]` if they follow the image, otherwise `[1, …]`.
    """
    if not len(source):
        raise DataError(f"The {source.split} split is empty.")
    shards = shard_count * parts
    rounds = -(-len(source) // shards)
    rank = rank_of(config)
    shapes = {key: (1, *feature.batch_shape(*(None,) * rank)) for key, feature in source.features.items()}
    shapes |= {"index": (1,), "valid": (1,), "size": (1, rank)}

    if source.stream is None:

        def example_of(number):
            turn, part = divmod(int(number), parts)
            return _padded(source, config, turn * shards + shard_index * parts + part, multiple)

        numbers = tf.data.Dataset.range(rounds * parts)
        return in_parallel(numbers, batcher(example_of, source, shapes), config, 2 * parts)

    def streamed(number, *values):
        return _as_evaluated(source, int(number), source.stream.example(int(number), values), multiple)

    def element(number, value):
        return called(streamed, [number, *source.stream.flat(value)], source.features, shapes)

    numbered = source.stream.elements.take(len(source)).enumerate()
    if shard_count > 1:
        numbered = numbered.filter(lambda n, *_: n % shards // parts == shard_index)
    mine = sum(n % shards // parts == shard_index for n in range(len(source)))
    made = numbered.map(element, num_parallel_calls=config.data.workers or tf.data.AUTOTUNE)
    filling = tf.data.Dataset.range(rounds * parts - mine).map(
        batcher(lambda _: _filler(source, -1, multiple, rank), source, shapes)
    )
    return ordered(made.concatenate(filling).prefetch(2 * parts))


def evaluation_example(source: Source, config: Config, index: int) -> dict[str, np.ndarray]:
    """One element of `evaluation_batches`, unpadded, by the example's position; not of a stream."""
    return _padded(source, config, index, 1)


def _padded(source: Source, config: Config, index: int, multiple: int) -> dict[str, np.ndarray]:
    rank = rank_of(config)
    if index >= len(source):
        return _filler(source, -1, multiple, rank)
    try:
        example = source.load_compact(index)
    except DataError as error:
        if config.data.bad_files != "skip":
            raise
        source.skipped[source.names[index]] = str(error)
        return _filler(source, index, multiple, rank)
    return _as_evaluated(source, index, example, multiple)


def _filler(source: Source, position: int, multiple: int, rank: int) -> dict[str, np.ndarray]:
    """An element of padding, which is not counted."""
    made = {}
    for key, feature in source.features.items():
        shape = (1, *feature.batch_shape(*(multiple,) * rank))
        made[key] = np.full(shape, "" if feature.dtype.kind == "O" else feature.outside, feature.dtype)
    return made | {
        "index": np.array([position], np.int64),
        "valid": np.zeros(1, np.float32),
        "size": np.full((1, rank), multiple, np.int32),
    }


def _as_evaluated(source: Source, index: int, example: Example, multiple: int) -> dict[str, np.ndarray]:
    margin = tuple((0, -side % multiple) for side in example.size)
    rank = len(margin)
    made = {}
    for key, value in {"image": example.image, **example.beside_image}.items():
        feature = source.features[key]
        if feature.spatial:
            padding = (*margin, *((0, 0) for _ in value.shape[rank:]))
            if feature.kind == "ids":
                value = np.pad(value.astype(feature.dtype), padding, constant_values=feature.outside)
            else:
                value = np.pad(value, padding, mode="symmetric")
                value = np.broadcast_to(value, (*value.shape[:rank], *feature.shape))
        made[key] = np.asarray(value).astype(feature.dtype)[None]
    return made | {
        "index": np.array([index], np.int64),
        "valid": np.ones(1, np.float32),
        "size": np.array([example.size], np.int32),
    }
