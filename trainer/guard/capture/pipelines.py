"""Variables read by a data set: those captured by the functions of `Dataset.map` and the like.

The functions run in C++, ahead of Python: a tape sees elements come out of an iterator, and nothing else.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator

import tensorflow as tf

from .frames import site_of_operation
from .private import OwnedIterator, dataset_functions
from .trace import Op, key

ITERATING = frozenset({"IteratorGetNext", "IteratorGetNextSync", "OptionalGetValue"})


def read_by_pipeline(handles: tuple) -> tuple[tuple[int, Op], ...]:
    """The key of each variable read by the data set behind an iterator, and an op on the line that reads it.

    Args:
      handles: the inputs of the op that takes the next element.
    """
    wanted = {key(handle) for handle in handles if handle.dtype == tf.resource}
    return tuple(pair for dataset in _datasets_behind(wanted) for pair in _captured(dataset, set()))


def _datasets_behind(handles: set[int]) -> Iterator[tf.data.Dataset]:
    for thing in gc.get_objects():
        if type(thing) is OwnedIterator and handles & {key(thing._iterator_resource)}:
            yield thing._dataset


def _captured(dataset: tf.data.Dataset, seen: set[int]) -> Iterator[tuple[int, Op]]:
    if id(dataset) in seen:
        return
    seen.add(id(dataset))
    for function in dataset_functions(dataset):
        for outer, inner in function.graph.captures:
            if outer.dtype == tf.resource:
                readers = [operation for operation in inner.consumers() if site_of_operation(operation) is not None]
                reader = next(iter(readers), next(iter(inner.consumers()), inner.op))
                yield key(outer), Op("MapDataset", (outer,), (), operation=reader, opaque=True)
    for before in dataset._inputs():  # nothing public leads from a data set to its inputs
        yield from _captured(before, seen)
