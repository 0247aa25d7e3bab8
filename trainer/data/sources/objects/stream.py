"""A user's `tf.data.Dataset`: read in its own order, from the start; a position is found by skipping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from trainer.data.errors import DataError, data_error_from
from trainer.data.example import Example, Feature
from trainer.data.source import Numbered
from trainer.data.sources.objects.layout import Layout, arrays_of, skeleton


def is_stream(value: Any) -> bool:
    """Whether an object is a `tf.data.Dataset`."""
    return isinstance(value, tf.data.Dataset)


class StreamReader:
    """The elements of a `tf.data.Dataset` as examples.

    Args:
      dataset: of (image, label), of mappings with "image", or of images alone; batches are taken apart.
      prefix: the start of its examples' names.

    Attributes:
      elements: the data set, with one example per element.
      repeats: whether it ends, and is started again for each epoch.
      length: the number of examples; None if the data set does not know it.
    """

    cached = False

    def __init__(self, dataset: tf.data.Dataset, prefix: str):
        self.layout: Layout | None = None
        self._prefix = prefix
        self._keys = _keys(dataset.element_spec, prefix)
        self.unbatched = _is_batch(dataset.element_spec, self._image_spec(dataset.element_spec))
        self.elements = dataset.unbatch() if self.unbatched else dataset
        cardinality = int(self.elements.cardinality())
        self.repeats = cardinality != tf.data.INFINITE_CARDINALITY
        self.length = cardinality if cardinality >= 0 else None
        self.names: Sequence[str] = Numbered(prefix, self.length or 0)
        if self.length == 0:
            raise DataError(f"{prefix} is empty: this tf.data.Dataset has no elements.")

    @property
    def stream(self) -> StreamReader:
        return self

    @property
    def features(self) -> Mapping[str, Feature]:
        return self.layout.features

    def _image_spec(self, spec: Any) -> Any:
        return spec["image"] if isinstance(spec, Mapping) else spec[0] if isinstance(spec, tuple) else spec

    def __call__(self, index: int) -> Example:
        for value in self.elements.skip(index).take(1):
            return self.example(index, [tensor.numpy() for tensor in self.flat(value)])
        raise DataError(f"{self._prefix}[{index}] does not exist: the tf.data.Dataset has ended before.")

    def flat(self, value: Any) -> list[tf.Tensor]:
        """The tensors of an element, in the order of the keys; half precision as float32."""
        values = (
            [value[key] for key in self._keys]
            if isinstance(value, Mapping)
            else (list(value) if isinstance(value, tuple) else [value])
        )
        return [tf.cast(v, tf.float32) if v.dtype in (tf.bfloat16, tf.float16) else v for v in values]

    def example(self, number: int, values: Sequence[np.ndarray]) -> Example:
        """The example of element `number`, counted over all epochs."""
        name = self._name(number)
        return self.layout.example(self._arrays(values, name), name)

    def _name(self, number: int) -> str:
        return f"{self._prefix}[{number % self.length if self.length else number}]"

    def _arrays(self, values: Sequence[np.ndarray], name: str) -> dict[str, np.ndarray]:
        return arrays_of(dict(zip(self._keys, values, strict=True)), name)

    def look(self, most: int) -> tuple[list, str, list[str], list[str]]:
        """The first examples without their pixels, their numbers, problems of others, and remarks."""
        items, problems, first, ended = [], [], None, True
        for number, values in enumerate(self._first(most + 1)):
            if number == most:
                ended = False
                break
            try:
                arrays = self._arrays(values, self._name(number))
            except DataError as error:
                problems.append(str(error))
                continue
            first = values if first is None else first
            items.append((self._name(number), skeleton(arrays)))
        if not items and not problems:
            raise DataError(f"{self._prefix} is empty: this tf.data.Dataset has no elements.")
        remarks = ["a tf.data.Dataset is read from its front: a resumed run skips to its position, which takes time"]
        if self.unbatched:
            remarks.append("the tf.data.Dataset gives batches; they are taken apart, and batched by train.batch_size")
        again = next(iter(self._first(1)), None)
        if first is not None and not all(np.array_equal(a, b) for a, b in zip(first, again, strict=True)):
            remarks.append(
                "the tf.data.Dataset begins with another example each time, so a resumed run will differ: give its "
                "shuffle a seed, and put random changes into augment=[…]"
            )
        count = len(items) + len(problems)
        return items, f"all {count} examples" if ended else f"the first {most} examples", problems, remarks

    def _first(self, count: int):
        try:
            for value in self.elements.take(count):
                yield [tensor.numpy() for tensor in self.flat(value)]
        except tf.errors.OpError as error:
            known = data_error_from(error)
            first_line = str(error).strip().splitlines()[0]
            raise known or DataError(f"{self._prefix}: reading the tf.data.Dataset failed: {first_line}") from error

    def count(self) -> None:
        """Counts the elements of a data set of unknown length, by reading all of it."""
        if not self.repeats:
            raise DataError(
                f"{self._prefix}: this tf.data.Dataset never ends, so that its evaluation would not: take a part of "
                "it, .take(NUMBER)."
            )
        if self.length is None:
            self.length = sum(1 for _ in self.elements)
            self.names = Numbered(self._prefix, self.length)


def _keys(spec: Any, prefix: str) -> list[str]:
    """The keys of an element's tensors."""
    if isinstance(spec, Mapping):
        keys, parts = list(spec), list(spec.values())
        if "image" not in spec:
            named = ", ".join(map(repr, spec))
            raise DataError(f"{prefix}: the elements of the tf.data.Dataset have no key 'image'; they have {named}.")
    elif isinstance(spec, tuple):
        keys, parts = ["image", "label"][: len(spec)], list(spec)
        if len(spec) > 2:
            raise DataError(
                f"{prefix}: the elements of the tf.data.Dataset are tuples of {len(spec)}; an example is (image, "
                "label), "
                "or for more than these a dict: dataset.map(lambda x, y, w: {'image': x, 'label': y, 'weight': w})."
            )
    else:
        keys, parts = ["image"], [spec]
    for key, part in zip(keys, parts, strict=True):
        if not isinstance(part, tf.TensorSpec):
            raise DataError(
                f"{prefix}: {key!r} of the tf.data.Dataset's elements is {type(part).__name__}; every key is one dense "
                "tensor."
            )
    return keys


def _is_batch(spec: Any, image: Any) -> bool:
    """Whether an element has several examples: images of rank 4, or grey ones whose labels have exactly their shape."""
    if _rank(image) != 3:
        return _rank(image) == 4
    pair = spec if isinstance(spec, tuple) else ()
    label = spec.get("label") if isinstance(spec, Mapping) else pair[1] if pair[1:] else None
    # One-hot labels have the image's rank, too; an image's rows are known if its columns and channels are.
    return (
        label is not None
        and label.dtype.is_integer
        and _rank(label) == 3
        and image.shape[0] is None
        and None not in image.shape[1:]
        and image.shape.as_list() == label.shape.as_list()
    )


def _rank(spec: Any) -> int | None:
    return spec.shape.rank
