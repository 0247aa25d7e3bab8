"""Which images of an evaluation are shown, and their pictures: the worst, a few in the middle, the best."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping

import numpy as np

from trainer.reporting.panels import Panel, shrunk

# How many in the middle, and of the best.
_OTHERS = 2
# The images of a split up to this size are kept, shrunk, when they are scored; in a larger split the few shown images
# are predicted again.
_MOST_KEPT = 128


@dataclasses.dataclass(frozen=True, kw_only=True)
class Picture:
    """An image of the split with its label and prediction.

    Attributes:
      kind: "worst", "median" or "best".
      rank: 1 for the first of its kind.
      name: the image's, as in the split.
      dice: mean over the scored classes; the image's `mean_dice` in the evaluation.
      panel: its drawing.
    """

    kind: str
    rank: int
    name: str
    dice: float
    panel: Panel

    def titled(self) -> np.ndarray:
        """The panel with name, score and legend: RGB uint8 `[h, w, 3]`."""
        panel = self.panel
        shown = f", shown brighter: {panel.low:.3g} to {panel.high:.3g} of 255" if panel.stretched else ""
        return panel.titled(f"{self.kind} {self.rank}: {self.name}   Dice {self.dice:.4f}{shown}")


class Pictures:
    """Keeps the arrays that `chosen` may need.

    Args:
      datasets: has `validation`, `classes` and `void_id`.
      worst: how many of the worst to show; 0 shows none of any kind.
      workers: their number; each scores a part of the images.
    """

    def __init__(self, datasets, worst: int, workers: int):
        source = datasets.validation
        self._datasets, self._worst = datasets, worst
        self._streams = getattr(source, "stream", None) is not None
        alone = workers == 1 and (len(source) <= _MOST_KEPT or self._streams)
        self._room = _MOST_KEPT if worst and alone else 0
        self._kept: dict[int, Mapping[str, np.ndarray]] = {}

    def keep(self, *, numbers: Mapping, arrays: Mapping) -> None:
        """Called for each image that this process has scored."""
        if len(self._kept) < self._room and numbers["valid"]:
            self._kept[int(numbers["index"])] = self._shrunk(arrays)

    def _shrunk(self, arrays: Mapping) -> Mapping[str, np.ndarray]:
        return shrunk(*(np.asarray(arrays[name]) for name in ("image", "label", "prediction")))

    def chosen(self, scores, again: Callable[[int], Mapping]) -> list[Picture]:
        """The pictures, the worst first.

        Args:
          scores: the evaluation's.
          again: returns the arrays of an image by its position in the split; not called for a stream, whose pictures
            are chosen from the first images.
        """
        if not self._worst:
            return []
        places = {name: place for place, name in enumerate(self._datasets.validation.names)}
        pairs = zip(scores.by_image["name"], scores.by_image["mean_dice"], strict=True)
        ranked = sorted(((dice, name) for name, dice in pairs if not math.isnan(dice)), key=lambda pair: pair)
        if self._streams:
            ranked = [pair for pair in ranked if places[pair[1]] in self._kept]
        found = []
        for kind, rank, number in ranks(len(ranked), self._worst):
            dice, name = ranked[number]
            arrays = self._kept.get(places[name])
            if arrays is None:
                arrays = self._shrunk(again(places[name]))
            panel = Panel(**arrays, classes=tuple(self._datasets.classes), void_id=self._datasets.void_id)
            found.append(Picture(kind=kind, rank=rank, name=name, dice=dice, panel=panel))
        return found


def ranks(images: int, worst: int) -> list[tuple[str, int, int]]:
    """(kind, rank, position from the worst to the best) of the shown images, of this many, each once."""
    middle = (images - 1) // 2
    wanted = [("worst", number) for number in range(min(worst, images))]
    wanted += [("median", middle + number) for number in range(_OTHERS)]
    wanted += [("best", images - 1 - number) for number in range(_OTHERS)]
    found, seen, count = [], set(), {}
    for kind, number in wanted:
        if 0 <= number < images and number not in seen:
            seen.add(number)
            count[kind] = count.get(kind, 0) + 1
            found.append((kind, count[kind], number))
    return found
