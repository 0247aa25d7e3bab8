"""A change to a program that may be its remedy, and the suspicion that it is to settle."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from .finding import Finding


@dataclasses.dataclass(frozen=True)
class Change:
    """What is to be another in a program; all that is left out stays.

    Attributes:
      layers: layer name -> the arguments that it is to be made with instead.
      fresh: names of layers that are to start from Keras's own initial weights.
      loss: another loss.
      optimizer: arguments that the optimizer is to be made with instead.
      batch_size, epochs: other ones.
      shuffled: whether the rows come in another order in every epoch.
      scale_x, scale_y: whether inputs or targets are brought to mean 0 and deviation 1.
      balanced: whether rows or pixels of the rare class count as much in sum as those of the others.
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
        """Both; where they differ, the other's."""
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
      change: what would mend it; None if no change of the program does.
      certain: whether it is a fault as it stands, without trying.
      strong: whether there is evidence beside the fact that the program does not learn.
      pair: the output, loss and labels that it is about (a `Pair`), where it is about one.
    """

    finding: Finding
    change: Change | None = None
    certain: bool = False
    strong: bool = True
    pair: Any = None


def suspect(
    kind: str, where: str | tuple[str, ...], evidence: str, remedy: str, change: Change, strong: bool = True
) -> Suspicion:
    """A suspicion that steps on a copy are to settle."""
    return Suspicion(Finding(kind, where, evidence, remedy, depth="steps"), change, strong=strong)


def fault(
    kind: str,
    where: str | tuple[str, ...],
    evidence: str,
    remedy: str,
    depth: str = "static",
    pair: Any = None,
) -> Suspicion:
    """A fault as it stands, which needs no trial."""
    return Suspicion(Finding(kind, where, evidence, remedy, depth), certain=True, pair=pair)
