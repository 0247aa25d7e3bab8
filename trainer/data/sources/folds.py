"""Folds: every example is held out in one of them, and used for training in the others."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from configs.schema import Data
from trainer.data.errors import DataError
from trainer.data.example import Example
from trainer.data.sources.splits import Reader, Splits
from trainer.data.sources.splitting import group_of, rank


class Chosen:
    """Some examples of several readers, numbered through all of them."""

    def __init__(self, readers: Sequence[Reader], chosen: Sequence[int]):
        self._places = [(reader, index) for reader in readers for index in range(len(reader.names))]
        self._chosen = tuple(chosen)
        self.names = tuple(self._places[number][0].names[self._places[number][1]] for number in self._chosen)
        self.features = getattr(readers[0], "features", None)
        self.cached = getattr(readers[0], "cached", True)

    def __call__(self, index: int) -> Example:
        reader, place = self._places[self._chosen[index]]
        return reader(place)

    def mask_file(self, index: int) -> str:
        reader, place = self._places[self._chosen[index]]
        find = getattr(reader, "mask_file", None)
        return find(place) if find is not None else ""


def fold_of(names: Sequence[str], data: Data) -> list[int]:
    """The fold in which each example is held out, from its name, or from the group that data.group finds in that.

    Large groups come first, then by a hash; each goes to the fold with the fewest examples so far, so that folds differ
    by less than a group.

    Raises:
      DataError: there are fewer groups than folds, or data.group finds nothing in a name.
    """
    groups: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        groups.setdefault(group_of(name, data.group), []).append(index)
    if len(groups) < data.folds:
        what = f"groups by data.group={data.group!r}" if data.group else "examples"
        raise DataError(f"data.folds={data.folds}: there are {len(groups)} {what}, fewer than folds.")
    folds, held = [0] * len(names), [0] * data.folds
    # Large groups first: the small ones then even the sizes out.
    for group in sorted(groups, key=lambda group: (-len(groups[group]), rank(group, data.split_seed))):
        fold = min(range(data.folds), key=lambda number: (held[number], number))
        held[fold] += len(groups[group])
        for index in groups[group]:
            folds[index] = fold
    return folds


def in_folds(splits: Splits, data: Data) -> Splits:
    """The splits of data.fold: its examples to evaluate, all others to train on, whatever split they were in.

    Raises:
      DataError: the data can only be read in their own order, or are too few.
    """
    readers = [reader for reader in (splits.train, splits.validation) if reader is not None]
    if any(getattr(reader, "stream", None) is not None for reader in readers):
        raise DataError(
            "data.folds: a tf.data.Dataset can only be read in its own order; folds need examples by number."
        )
    names = [name for reader in readers for name in reader.names]
    folds = fold_of(names, data)
    # Readers that are more than a call by index select examples themselves.
    choose = getattr(type(readers[0]), "chosen", Chosen)
    train, validation = (
        choose(readers, [number for number, fold in enumerate(folds) if (fold == data.fold) == held])
        for held in (False, True)
    )
    note = f"fold {data.fold} of {data.folds}: {len(validation.names)} of {len(names)} examples are held out"
    if "validation" in splits.named:
        note += "; the data's own training and validation examples are divided together"
    return dataclasses.replace(splits, train=train, validation=validation, notes=(*splits.notes, note))
