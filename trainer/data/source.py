"""What a data set is to the rest of the program: numbered examples, each an image and a label of the same size."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Sequence

import numpy as np

from trainer.data.errors import DataError


@dataclasses.dataclass(frozen=True)
class Example:
    """An image with its label.

    image: uint8 `[height, width, channels]`.
    label: integers `[height, width]`: class ids, or the data set's void id where no class is told.
    name: what the user calls it: the image's path inside the data set, or a TFRecord file and a record number.
    """

    image: np.ndarray
    label: np.ndarray
    name: str


class MemoryCache:
    """Decoded examples, kept while they fit. The first that come are kept: with a shuffled order any are as good."""

    def __init__(self, limit_mib: int):
        self._free = limit_mib * 2**20
        self._kept: dict[tuple[str, int], Example] = {}
        self._lock = threading.Lock()

    def get(self, key: tuple[str, int]) -> Example | None:
        return self._kept.get(key)

    def offer(self, key: tuple[str, int], example: Example) -> None:
        size = example.image.nbytes + example.label.nbytes
        with self._lock:
            if size <= self._free and key not in self._kept:
                self._kept[key] = example
                self._free -= size


class Source:
    """One split of a data set, read example by example in any order and from any thread.

    Args:
      split: "train" or "validation", for messages.
      names: one name an example.
      read: gives example `i`; raises `DataError` with the file's name.
      classes: the classes' names; their position is the id.
      void_id: the id of pixels that count nowhere.
      channels: of every image.
      cache: keeps decoded examples; None reads each time.
    """

    def __init__(
        self,
        split: str,
        names: Sequence[str],
        read: Callable[[int], Example],
        *,
        classes: Sequence[str],
        void_id: int,
        channels: int,
        cache: MemoryCache | None = None,
    ):
        self.split = split
        self.names = tuple(names)
        self.classes = tuple(classes)
        self.void_id = void_id
        self.channels = channels
        # Name -> reason of the examples that were skipped so far, by the policy data.bad_files="skip".
        self.skipped: dict[str, str] = {}
        self._read = read
        self._cache = cache

    def __len__(self) -> int:
        return len(self.names)

    def load(self, index: int) -> Example:
        """Example `index`: image uint8 `[h, w, channels]`, label int32 `[h, w]`.

        Raises:
          DataError: it cannot be used; the message names the file and the reason.
        """
        example = self.load_compact(index)
        shape = (*example.image.shape[:2], self.channels)
        image = np.ascontiguousarray(np.broadcast_to(example.image, shape))
        return dataclasses.replace(example, image=image, label=example.label.astype(np.int32))

    def load_compact(self, index: int) -> Example:
        """As `load`, in the form it is cached: grey has one channel, labels have the smallest integer type.

        It broadcasts to what `load` gives, so a crop is widened when it is written, not the whole image before.
        """
        key = (self.split, index)
        example = self._cache.get(key) if self._cache else None
        if example is None:
            example = _compact(self._read(index))
            if self._cache:
                self._cache.offer(key, example)
        return example

    def why_unusable(self, index: int) -> str:
        """Why example `index` cannot be used; "" where it can."""
        try:
            self.load_compact(index)
        except DataError as error:
            return str(error)
        return ""

    def load_good(self, index: int) -> tuple[int, Example]:
        """Example `index` or, where it cannot be used, the next one that can; what was passed over is in `skipped`."""
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
    if image.shape[2] == 1 or (image[0] != image[0, :, :1]).any() or (image != image[:, :, :1]).any():
        return example
    return dataclasses.replace(example, image=image[:, :, :1].copy())


@dataclasses.dataclass(frozen=True)
class DataSets:
    """The two splits, and what they have in common.

    notes: remarks that stop nothing: files that are no part of it, and why.
    problems: what was found wrong with single files before anything was decoded; bad_files="skip" goes on without them.
    """

    train: Source
    validation: Source
    classes: tuple[str, ...]
    void_id: int
    channels: int
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
