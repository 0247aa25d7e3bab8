"""Functions that return batches of NumPy arrays, in parallel and in order, as a `tf.data.Dataset`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import tensorflow as tf

from configs.schema import Config
from trainer.data.calls import ending
from trainer.data.example import Feature
from trainer.data.source import Source


def batcher(function: Callable[[int], Mapping[str, np.ndarray]], source: Source, shapes: Mapping) -> Callable:
    return lambda number: called(function, [number], source.features, shapes)


_OWN_TYPES = {"index": np.int64, "valid": np.float32, "size": np.int32}


def called(function, arguments: list, features: Mapping[str, Feature], shapes: Mapping[str, tuple]):
    """Calls `function`, which returns a dict of arrays, in a graph: gives a dict of tensors with these shapes."""
    keys, types = zip(*types_of(features, shapes), strict=True)

    def flat(*values):
        made = function(*values)
        return [np.asarray(made[key], dtype) for key, dtype in zip(keys, types, strict=True)]

    # Stateless, as it is: its result depends only on the number. A stateful function would be called by one thread
    # at a time under --deterministic.
    outputs = [tf.string if t.kind == "O" else tf.as_dtype(t) for t in types]
    plain = tf.autograph.experimental.do_not_convert(ending(flat))
    tensors = tf.numpy_function(plain, arguments, outputs, stateful=False)
    for key, tensor in zip(keys, tensors, strict=True):
        tensor.set_shape(shapes[key])
    return dict(zip(keys, tensors, strict=True))


def types_of(features: Mapping[str, Feature], shapes: Mapping[str, tuple]) -> Iterator[tuple[str, np.dtype]]:
    for key in shapes:
        yield key, features[key].dtype if key in features else np.dtype(_OWN_TYPES[key])


def in_parallel(numbers: tf.data.Dataset, element, config: Config, ahead: int, at_a_time: int = 0) -> tf.data.Dataset:
    workers = at_a_time or config.data.workers or tf.data.AUTOTUNE
    return ordered(numbers.map(element, num_parallel_calls=workers).prefetch(ahead))


def ordered(dataset: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    options.deterministic = True
    # Shards are made above; TensorFlow must not shard again.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return dataset.with_options(options)
