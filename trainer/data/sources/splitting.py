"""Which examples are trained on and which are held out: by the data, by folders, or by a hash of their names."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import re
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from configs.schema import Data
from trainer.data.errors import DataError, shown
from trainer.data.sources.names import split_of


class Placed(Protocol):
    """An example with its image's path, and its split if the data define it."""

    image: str
    split: str


Kind = TypeVar("Kind", bound=Placed)


@dataclasses.dataclass(frozen=True)
class Divided(Generic[Kind]):
    """Examples by split, in the order of their images' names.

    named: the splits defined by the data themselves; the rest is held out by a hash.
    """

    train: list[Kind]
    validation: list[Kind]
    test: list[Kind]
    named: tuple[str, ...]
    fatal: tuple[str, ...]
    notes: list[str]


def refuse_overlap(data: Data, title: str) -> None:
    """Raises `DataError` if the config says that classes overlap, and the format has one class per pixel."""
    if data.multi_label:
        raise DataError(f"data.labels=multi: in {title} a pixel has one class; leave it out.")


def split_examples(examples: Sequence[Kind], data: Data, root: str) -> Divided[Kind]:
    """Training, validation and test examples.

    Args:
      examples: with `split` "train", "validation", "test", or "" if folders' names decide.
      data: validation_fraction, split_seed and group hold out examples if no split is defined.
      root: the folder as shown in messages.
    """
    by_split = collections.defaultdict(list)
    for example in sorted(examples, key=lambda example: example.image):
        by_split[example.split or split_of(example.image)].append(example)
    train, validation, rest, test = (by_split[split] for split in ("train", "validation", "", "test"))
    named = tuple(split for split in ("train", "validation", "test") if by_split[split])
    notes, fatal = [], ()
    if test and (train or rest) and data.split == "auto":
        notes.append(f"{len(test)} images of a test split are neither trained on nor evaluated")
    if train and validation:
        if rest:
            notes.append(f"{len(rest)} images in no split are not used: {rest[0].image}, …")
    elif validation and not train and not rest:
        fatal = (f"{root}: has images of a validation split, and none to train on.",)
    else:
        pool = train or rest
        if data.split == "auto" and not pool:
            pool, test, named = test, [], ()
        if len(pool) < 2:
            fatal = (f"{root}: {len(pool)} images with masks can be used; two are needed at least.",)
            train, validation = pool, []
        else:
            out = held_out([example.image for example in pool], data)
            train = [example for index, example in enumerate(pool) if index not in out]
            validation = [pool[index] for index in sorted(out)]
    return Divided(train, validation, test, named, fatal, notes)


def held_out(names: Sequence[str], data: Data) -> set[int]:
    """The indices of the validation examples: data.validation_fraction of them, at least one and not all.

    By a hash of the name, or of the group that data.group finds in it: examples added later leave the others where
    they are, and no group is on both sides.

    None if all of them are requested (data.split).

    Raises:
      DataError: data.group finds nothing in a name, or the same in all of them.
    """
    if data.split == "all":
        return set()
    groups: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        groups.setdefault(group_of(name, data.group), []).append(index)
    if len(groups) < 2:
        raise DataError(
            f"data.group={data.group!r} finds the same in all {len(names)} names, {shown(next(iter(groups)))!r}: "
            "nothing could be held out."
        )
    wanted = min(max(round(len(names) * data.validation_fraction), 1), len(names) - 1)
    chosen: set[int] = set()
    for group in sorted(groups, key=lambda group: rank(group, data.split_seed))[:-1]:
        if len(chosen) >= wanted:
            break
        chosen.update(groups[group])
    return chosen


def group_of(name: str, pattern: str) -> str:
    if not pattern:
        return name
    found = re.search(pattern, name)
    if not found:
        raise DataError(f"data.group={pattern!r} finds nothing in {shown(name)!r}; it has to name a group in each.")
    return found.group(1) if found.groups() and found.group(1) is not None else found.group()


def rank(name: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:".encode() + name.encode("utf-8", "surrogateescape")).digest()
