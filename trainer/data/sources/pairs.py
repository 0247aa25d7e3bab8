"""What a folder comes down to: pairs of files in two splits, and what is wrong with the rest."""

from __future__ import annotations

import dataclasses

from trainer.data.errors import shown


@dataclasses.dataclass(frozen=True, order=True)
class Pair:
    """An image and its mask, as paths below the folder, with "/" between the parts."""

    image: str
    mask: str

    @property
    def name(self) -> str:
        return shown(self.image)


@dataclasses.dataclass(frozen=True)
class Listing:
    """What a folder holds.

    problems: what is wrong with single files: each can be skipped.
    fatal: what leaves nothing to train on or to evaluate.
    notes: what was left out on purpose.
    """

    train: tuple[Pair, ...] = ()
    validation: tuple[Pair, ...] = ()
    problems: tuple[str, ...] = ()
    fatal: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
