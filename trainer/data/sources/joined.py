"""Readers around others: several splits as one, and labels of data that number the same classes differently."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from configs.schema import Data
from trainer.data.example import Example


class JoinedReader:
    """The examples of several readers in turn.

    Args:
      readers: of one kind, at least one.
    """

    def __init__(self, readers: Sequence[Any]):
        self._readers = tuple(readers)
        self.names = tuple(name for reader in readers for name in reader.names)
        self._place = [(reader, index) for reader in readers for index in range(len(reader.names))]
        self.cached = all(getattr(reader, "cached", True) for reader in readers)

    def __call__(self, index: int) -> Example:
        reader, at = self._place[index]
        return reader(at)

    def __getattr__(self, name: str):
        """The readers' other attributes: `features`; `mask_values`, `deep_values`, `bands` by index; `reading`."""
        if name.startswith("_"):
            raise AttributeError(name)
        first = getattr(self._readers[0], name)
        if name == "reading":
            return self._reading
        if name in ("mask_values", "deep_values", "bands"):
            return lambda index: getattr(self._place[index][0], name)(self._place[index][1])
        return first

    def _reading(self, data: Data) -> JoinedReader:
        return JoinedReader([reader.reading(data) for reader in self._readers])


class RenumberedReader:
    """A reader whose class ids are replaced by those of the same names in another list.

    Args:
      reader: returns class ids of `names`.
      names: its classes.
      classes: the requested classes, including all of `names`.
      void_id: stays unchanged.
    """

    def __init__(self, reader: Any, names: Sequence[str], classes: Sequence[str], void_id: int):
        self._reader, self._how = reader, (tuple(names), tuple(classes), void_id)
        self._ids = np.array([classes.index(name) for name in names], np.int32)
        self.names = reader.names

    def __call__(self, index: int) -> Example:
        example = self._reader(index)
        label = example.label.astype(np.int32)
        void = label == self._how[2]
        return dataclasses.replace(example, label=np.where(void, label, self._ids[np.where(void, 0, label)]))

    def __getattr__(self, name: str):
        if name.startswith("_"):
            raise AttributeError(name)
        value = getattr(self._reader, name)
        if name == "reading":
            return lambda data: RenumberedReader(value(dataclasses.replace(data, classes=self._how[0])), *self._how)
        return value
