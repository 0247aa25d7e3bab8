"""Which examples are trained on: as the data state it, by their folders' names, or by a hash of the images' names."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from configs.schema import Data
from trainer.data.sources.holding_out import held_out
from trainer.data.sources.names import split_of


class Placed(Protocol):
    """An example with its image's path, and its split where the data say it."""

    image: str
    split: str


Kind = TypeVar("Kind", bound=Placed)


@dataclasses.dataclass(frozen=True)
class Divided(Generic[Kind]):
    """Examples by split, in the order of their images' names.

    named: the splits that the data themselves state; the rest is held out by a hash.
    """

    train: list[Kind]
    validation: list[Kind]
    test: list[Kind]
    named: tuple[str, ...]
    fatal: tuple[str, ...]
    notes: list[str]


def split_examples(examples: Sequence[Kind], data: Data, root: str) -> Divided[Kind]:
    """Training, validation and test examples.

    Args:
      examples: with `split` "train", "validation", "test", or "" where folders' names are to say it.
      data: validation_fraction, split_seed and group hold out where no split is stated.
      root: the folder as it is shown.
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
