"""Which examples are trained on: as the data state it, by their folders' names, or by a hash of the images' names."""

from __future__ import annotations

import collections
from collections.abc import Sequence
from typing import Protocol, TypeVar

from configs.schema import Data
from trainer.data.sources.holding_out import held_out
from trainer.data.sources.names import split_of


class Placed(Protocol):
    """An example with its image's path, and its split where the data say it."""

    image: str
    split: str


Kind = TypeVar("Kind", bound=Placed)


def split_examples(
    examples: Sequence[Kind], data: Data, root: str
) -> tuple[list[Kind], list[Kind], tuple[str, ...], list[str]]:
    """Training and validation examples, in the order of their images' names, what is fatal, and notes.

    Args:
      examples: with `split` "train", "validation", "test", or "" where folders' names are to say it.
      data: validation_fraction, split_seed and group hold out where no split is stated.
      root: the folder as it is shown.
    """
    by_split = collections.defaultdict(list)
    for example in sorted(examples, key=lambda example: example.image):
        by_split[example.split or split_of(example.image)].append(example)
    train, validation, rest, test = (by_split[split] for split in ("train", "validation", "", "test"))
    notes = []
    if test and (train or rest):
        notes.append(f"{len(test)} images of a test split are neither trained on nor evaluated")
    if train and validation:
        if rest:
            notes.append(f"{len(rest)} images in no split are not used: {rest[0].image}, …")
        return train, validation, (), notes
    if validation and not train and not rest:
        return [], validation, (f"{root}: has images of a validation split, and none to train on.",), notes
    pool = train or rest or test
    if len(pool) < 2:
        return pool, [], (f"{root}: {len(pool)} images with masks can be used; two are needed at least.",), notes
    out = held_out([example.image for example in pool], data)
    kept = [example for index, example in enumerate(pool) if index not in out]
    return kept, [pool[index] for index in sorted(out)], (), notes
