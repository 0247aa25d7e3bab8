"""A change to a program that may mend it, and the suspicion that it tests."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from .finding import Finding


@dataclasses.dataclass(frozen=True)
class Change:
    """What to change in a program; everything left out stays.

    Attributes:
      layers: layer name -> the arguments to construct it with instead.
      fresh: names of layers that start from Keras's own initial weights.
      loss: another loss.
      optimizer: arguments to construct the optimizer with instead.
      batch_size, epochs: new values.
      shuffled: whether the rows are shuffled in every epoch.
      scale_x, scale_y: whether inputs or targets are brought to mean 0 and deviation 1.
      balanced: whether rows or pixels of the rare class weigh as much in total as those of the others.
    """

    layers: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    fresh: tuple[str, ...] = ()
    loss: Any = None
    optimizer: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    batch_size: int | None = None
    epochs: int | None = None
    shuffled: bool = False
    scale_x: bool = False
    scale_y: bool = False
    balanced: bool = False

    def __or__(self, other: Change) -> Change:
        """Both changes; where they conflict, the second one's value."""
        layers = {name: dict(options) for name, options in self.layers.items()}
        for name, options in other.layers.items():
            layers[name] = {**layers.get(name, {}), **options}
        return Change(
            layers,
            tuple(dict.fromkeys((*self.fresh, *other.fresh))),
            other.loss or self.loss,
            {**self.optimizer, **other.optimizer},
            other.batch_size or self.batch_size,
            other.epochs or self.epochs,
            self.shuffled or other.shuffled,
            self.scale_x or other.scale_x,
            self.scale_y or other.scale_y,
            self.balanced or other.balanced,
        )


@dataclasses.dataclass(frozen=True)
class Suspicion:
    """A finding that may be true.

    Attributes:
      finding: what would be reported.
      change: what would mend it; None if no change to the program does.
      certain: whether it is a fault without any trial.
      strong: whether there is evidence besides the fact that the program does not learn.
      pair: the output, loss and labels that it is about (a `Pair`), or None.
    """

    finding: Finding
    change: Change | None = None
    certain: bool = False
    strong: bool = True
    pair: Any = None


def suspect(
    kind: str, where: str | tuple[str, ...], evidence: str, remedy: str, change: Change, strong: bool = True
) -> Suspicion:
    """A suspicion to be tested by steps on a copy."""
    return Suspicion(Finding(kind, where, evidence, remedy, depth="steps"), change, strong=strong)


def fault(
    kind: str,
    where: str | tuple[str, ...],
    evidence: str,
    remedy: str,
    depth: str = "static",
    pair: Any = None,
) -> Suspicion:
    """A certain fault, which needs no trial."""
    return Suspicion(Finding(kind, where, evidence, remedy, depth), certain=True, pair=pair)
