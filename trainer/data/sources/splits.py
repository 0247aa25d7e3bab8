"""What a source gives: the readers of its splits, and what was found out while they were opened."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from trainer.data.errors import shown
from trainer.data.example import Example


class Reader(Protocol):
    """The examples of one split, by index, from any thread.

    Optional attributes: `features`, key -> how it travels; `stream`, for what can only be read in its own order;
    `length`, where it is not that of the names; `cached`, False where examples are in memory already; `mask_file(i)`,
    the path of the file that has an example's label.
    """

    names: Sequence[str]

    def __call__(self, index: int) -> Example: ...


@dataclasses.dataclass(frozen=True)
class Splits:
    """The splits of a data set before they are accepted.

    train, validation, test: readers; None where there is no such split. Nobody trains on the last, or looks at it
      before --mode=evaluate names it.
    named: which of them the data themselves tell apart, by folders or lists; the rest is held out by a hash.
    classes: names that come with the data; empty where they have none, and the config's count.
    channels: of every image; 0 takes the config's.
    title: what the data are called.
    problems: what is wrong with single examples: each can be skipped.
    fatal: what leaves nothing to train on or to evaluate.
    notes: what was left out on purpose, and what was recognised.
    fields: of the config's data section, as they were recognised.
    advice: what can be done about problems.
    damage: reads everything once and says what is wrong with it that a reader would not notice; for a check.
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
    """No splits, since a folder has `missing`: "no train/"."""
    return Splits(title=shown(root), fatal=(f"{shown(root)}: has {missing}.",))
