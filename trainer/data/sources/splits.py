"""The result of opening a source: the readers of its splits, and facts found on the way."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from trainer.data.errors import shown
from trainer.data.example import Example


class Reader(Protocol):
    """The examples of one split, by index, from any thread.

    Optional attributes: `features`, key -> how it travels; `stream`, for data that can only be read in their own order;
    `length`, if it differs from that of the names; `cached`, False if examples are already in memory; `mask_file(i)`,
    the path of the file with an example's label.
    """

    names: Sequence[str]

    def __call__(self, index: int) -> Example: ...


@dataclasses.dataclass(frozen=True)
class Splits:
    """The splits of a data set before they are accepted.

    train, validation, test: readers; None if there is no such split. The last is never trained on, and not read
      unless --mode=evaluate names it.
    named: those defined by the data themselves, by folders or lists; the rest is held out by a hash.
    classes: the data's own names; empty if they have none, and the config's are used.
    channels: those of every image; 0 for the config's.
    title: the name of the data.
    problems: faults of single examples, each of which can be skipped.
    fatal: faults that leave nothing to train on or to evaluate.
    notes: files left out on purpose, and facts that were recognised.
    fields: recognised fields of the config's data section.
    advice: what to do about problems.
    damage: reads everything once and returns faults that a reader would not notice; for a check.
    """

    train: Reader | None = None
    validation: Reader | None = None
    test: Reader | None = None
    named: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    channels: int = 0
    title: str = ""
    problems: tuple[str, ...] = ()
    fatal: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    advice: str = ""
    damage: Callable[[], list[str]] = list


def nothing_in(root: str, missing: str) -> Splits:
    """No splits, since something is missing in a folder: "no train/"."""
    return Splits(title=shown(root), fatal=(f"{shown(root)}: has {missing}.",))
