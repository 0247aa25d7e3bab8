"""What a data set is to the rest of the program: numbered examples of two splits, each an image and what belongs to "
"it."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from configs.schema import Config
from trainer.data.errors import DataError
from trainer.data.example import Example, Feature, image_feature, label_feature

Function = Callable[[dict[str, np.ndarray], np.random.Generator], Mapping[str, Any]]


class MemoryCache:
    """Decoded examples, kept while they fit. The first ones are kept: in shuffled order any are as good."""

    def __init__(self, limit_mib: int):
        self._free = limit_mib * 2**20
        self._kept: dict[tuple[str, int], Example] = {}
        self._lock = threading.Lock()

    def get(self, key: tuple[str, int]) -> Example | None:
        return self._kept.get(key)

    def offer(self, key: tuple[str, int], example: Example) -> None:
        size = example.nbytes
        with self._lock:
            if size <= self._free and key not in self._kept:
                self._kept[key] = example
                self._free -= size


class Source:
    """One split of a data set, read example by example in any order and from any thread.

    Args:
      split: "train" or "validation", for messages.
      names: a name for each example.
      read: returns example `i`; raises `DataError` with the file's name.
      classes: the names of the classes; their position is the id.
      void_id: the id of pixels that are not counted.
      channels: of every image.
      cache: keeps decoded examples; None reads them each time.
      features: key -> how it travels; by default an image and class ids.
      functions: the user's own augmentations, for the training split only.
      stream: a `tf.data.Dataset` to be read in its own order instead of `read`; see `sources/stream.py`.
      length: the number of examples; None where a stream does not know it. By default the number of names.
    """

    def __init__(
        self,
        split: str,
        names: Sequence[str],
        read: Callable[[int], Example] | None,
        *,
        classes: Sequence[str],
        void_id: int,
        channels: int,
        cache: MemoryCache | None = None,
        features: Mapping[str, Feature] | None = None,
        functions: Sequence[Function] = (),
        stream: Any = None,
        length: int | None = -1,
    ):
        self.split = split
        self.names = names if isinstance(names, Numbered) else tuple(names)
        self.classes = tuple(classes)
        self.void_id = void_id
        self.channels = channels
        self.features = dict(features or {"image": image_feature(channels), "label": label_feature(void_id)})
        self.functions = tuple(functions)
        self.stream = stream
        self.length = len(self.names) if length == -1 else length
        # Name -> reason for each example skipped so far, by the policy data.bad_files="skip".
        self.skipped: dict[str, str] = {}
        # Opens these data in another process (`processes.Opening`); the pool of such processes, while there is one.
        self.opening: Any = None
        self.pool: Any = None
        self._read = read
        self._cache = cache

    def __len__(self) -> int:
        if self.length is None:
            raise DataError(
                f"The number of examples in the {self.split} data is not known: their tf.data.Dataset does not say it "
                '(cardinality unknown or infinite).\n  Give every duration in steps, as train.length="1000 steps", or '
                "say the number:\n    dataset.apply(tf.data.experimental.assert_cardinality(NUMBER))"
            )
        return self.length

    @property
    def caches(self) -> bool:
        """Whether decoded examples are kept."""
        return self._cache is not None

    def load(self, index: int) -> Example:
        """Example `index`: image `[h, w, channels]`, class ids as int32.

        Raises:
          DataError: it cannot be used; the message names the file and the reason.
        """
        example = self.load_compact(index)
        shape = (*example.size, self.channels)
        image = np.ascontiguousarray(np.broadcast_to(example.image, shape))
        label = example.label
        if label is not None and label.dtype.kind in "iu":
            label = label.astype(np.int32)
        return dataclasses.replace(example, image=image, label=label)

    def load_compact(self, index: int) -> Example:
        """As `load`, in the form it is cached: grey has one channel, labels have the smallest integer type.

        It broadcasts to the result of `load`, so only a crop is widened when it is written, not the whole image before.
        """
        key = (self.split, index)
        example = self._cache.get(key) if self._cache else None
        if example is None:
            try:
                example = _compact(self._read(index))
            except MemoryError as error:
                raise MemoryError(f"while reading {self.names[index]}: {error or 'no memory'}") from error
            if self._cache:
                self._cache.offer(key, example)
        return example

    def mask_file(self, index: int) -> str:
        """The file with the label of example `index` alone; "" where there is none."""
        find = getattr(self._read, "mask_file", None)
        return find(index) if find is not None else ""

    def close(self) -> None:
        """Ends the processes that make batches, if there are any."""
        if self.pool is not None:
            self.pool.close()
            self.pool = None

    def why_unusable(self, index: int) -> str:
        """Why example `index` cannot be used; "" if it can."""
        try:
            self.load_compact(index)
        except DataError as error:
            return str(error)
        return ""

    def load_good(self, index: int) -> tuple[int, Example]:
        """Example `index` or, if it cannot be used, the next one that can; those passed over are in `skipped`."""
        for distance in range(len(self)):
            candidate = (index + distance) % len(self)
            if self.names[candidate] in self.skipped:
                continue
            try:
                return candidate, self.load_compact(candidate)
            except DataError as error:
                self.skipped[self.names[candidate]] = str(error)
        first = next(iter(self.skipped.values()))
        raise DataError(f"None of the {len(self)} examples of the {self.split} split can be used. The first: {first}")


def _compact(example: Example) -> Example:
    image = example.image
    if image.dtype != np.uint8:
        return dataclasses.replace(example, span=float(image.max()) - float(image.min()))
    if image.shape[-1] == 1 or (image[0] != image[0, ..., :1]).any() or (image != image[..., :1]).any():
        return example
    return dataclasses.replace(example, image=image[..., :1].copy())


@dataclasses.dataclass(frozen=True)
class Numbered(Sequence):
    """Names that are numbers in brackets, "data[3]", made on demand."""

    prefix: str
    length: int

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> str:
        if not -self.length <= index < self.length:
            raise IndexError(index)
        return f"{self.prefix}[{index % self.length}]"


@dataclasses.dataclass(frozen=True)
class DataSets:
    """The splits, and their common facts.

    validation: None if there is nothing to evaluate on.
    classes, channels: those of the data, or of the config.
    config: the config that was opened, its data section completed from the data.
    title: the name of the data in the opening lines.
    notes: remarks without consequences: ignored files, and why; what was recognised.
    problems: faults of single files found before anything was decoded; bad_files="skip" goes on without those.
    """

    train: Source
    validation: Source | None
    classes: tuple[str, ...]
    void_id: int
    channels: int
    config: Config | None = None
    title: str = ""
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def features(self) -> Mapping[str, Feature]:
        """Key -> how it travels, of the training examples."""
        return self.train.features
