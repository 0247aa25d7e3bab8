"""Scores every candidate for post-processing at once, image by image, from one pass over an image.

A threshold is a cut through the sorted probabilities, and a smallest size one through the sorted parts, so that all of
them are counted in the time of one. Steps of a class only change that class and the background.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import ndimage

from trainer.evaluation.metrics import confusion_of, dice_and_iou, image_counts
from trainer.evaluation.own_metrics import Metric
from trainer.export.serving.postprocess import changed
from trainer.reporting.panels import background_ids

THRESHOLDS = np.arange(1, 20) / 20
# In pixels, or mm³.
SIZES = 2.0 ** np.arange(2, 17)
HALF = int(np.flatnonzero(THRESHOLDS == 0.5)[0])


def threshold_counts(label: np.ndarray, valid: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Counts of a class at each of `THRESHOLDS`: int64 `[thresholds, 3]`, see `metrics.image_counts`.

    Args:
      label: the pixels of the class, bool; valid: the pixels that count, bool.
      probability: that of the class, in the same shape.
    """
    passed = np.searchsorted(THRESHOLDS, probability, side="left")  # how many thresholds are below it
    within = [np.bincount(passed[valid & where], minlength=len(THRESHOLDS) + 1) for where in (label, ~label)]
    right, wrong = (counts[::-1].cumsum()[::-1][1:] for counts in within)
    return np.stack([right, np.full_like(right, within[0].sum()), right + wrong], axis=-1)


def part_counts(
    label: np.ndarray, valid: np.ndarray, found: np.ndarray, free: np.ndarray, voxel: float = 1.0
) -> np.ndarray:
    """Counts of a class for each treatment of its parts: int64 `[2, 2 + sizes, 3]`.

    The first axis is holes unchanged, and filled; the second all parts, those of at least each of `SIZES`, and only the
    largest.

    Args:
      label: the pixels of the class, bool; valid: those that count; found: those predicted; free: those that holes may
        consist of.
      voxel: the size of a pixel.
    """
    rows = []
    for holes in (False, True):
        here = changed(found, free, {"fill_holes": holes, "smallest": 0, "largest": False})
        parts, count = ndimage.label(here, np.ones([3] * here.ndim))
        sizes = np.bincount(parts.ravel(), minlength=count + 1)[1:] * voxel
        shared, counted = (np.bincount(parts[mask & here], minlength=count + 1)[1:] for mask in (valid & label, valid))
        kept = [np.ones(count, bool), *(sizes >= smallest for smallest in SIZES)]
        kept.append(np.arange(count) == sizes.argmax() if count else np.ones(0, bool))
        total = int((label & valid).sum())
        rows.append([[shared[which].sum(), total, counted[which].sum()] for which in kept])
    return np.array(rows, np.int64)


@dataclasses.dataclass
class Candidates:
    """Collects, as a metric of an evaluation, the Dice of every class and candidate, with a row for each image.

    classes: names, by class id.
    multi_label: whether they overlap.
    thresholds: whether thresholds are candidates.
    """

    classes: Sequence[str]
    multi_label: bool
    thresholds: bool
    before: list[np.ndarray] = dataclasses.field(default_factory=list)
    by_threshold: dict[str, list[np.ndarray]] = dataclasses.field(default_factory=dict)
    by_part: dict[str, list[np.ndarray]] = dataclasses.field(default_factory=dict)

    @property
    def changeable(self) -> list[str]:
        """Classes whose parts can be changed: removed pixels have to become background."""
        background = background_ids(self.classes)
        if self.multi_label:
            return list(self.classes)
        return [name for number, name in enumerate(self.classes) if number not in background] if background else []

    def metric(self, rank: int) -> Metric:
        """A metric for `make_evaluator`; `rank` is 2 for images, 3 for volumes."""
        names = ("void_id", *(("probabilities",) if self.thresholds else ()), *(("spacing",) if rank == 3 else ()))

        def gather(label, prediction, **further):
            self.add(label, prediction, **further)
            return 0.0

        return Metric("candidates", gather, False, names)

    def add(self, label, prediction, void_id: int, probabilities=None, spacing: Sequence[float] = ()) -> None:
        """Counts one image; arguments as for a user's metric."""
        counts = confusion_of(label, prediction, len(self.classes), void_id, self.multi_label)
        self.before.append(dice_and_iou(image_counts(counts, self.multi_label))[0])
        voxel = float(np.prod(spacing)) if len(spacing) else 1.0
        background = background_ids(self.classes)
        for name in self.changeable:
            number = self.classes.index(name)
            if self.multi_label:
                plane = label[..., number]
                true, valid, found = plane == 1, plane != void_id, prediction[..., number] == 1
                free = ~found
            else:
                true, valid, found = label == number, label != void_id, prediction == number
                free = prediction == background[0]
            if probabilities is not None:
                made = threshold_counts(true, valid, probabilities[..., number])
                self.by_threshold.setdefault(name, []).append(dice_and_iou(made)[0])
            made = part_counts(true, valid, found, free, voxel)
            self.by_part.setdefault(name, []).append(dice_and_iou(made)[0])


def scores(rows: Mapping[str, list[np.ndarray]], name: str) -> np.ndarray:
    """Of a class: Dice `[images, candidates…]`, NaN if an image does not count."""
    return np.stack(rows[name])
