"""Scores of volumes besides Dice and IoU: surface distances in millimetres, and volumes in millilitres.

**Empty masks.** A case in which neither label nor prediction has the class says nothing about its surfaces. One that
has it in only one of them counts as 0 in the surface Dice; it has no Hausdorff distance, so it is not in that mean, and
`one_sided` is the number of such cases. Volumes are means over all cases.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from trainer.evaluation.surface import hausdorff, surface_dice, surface_distances

# The measures of a class in a case.
MEASURES = ("dice", "hausdorff_95_mm", "surface_dice", "volume_ml", "label_volume_ml")


@dataclasses.dataclass(frozen=True, kw_only=True)
class VolumeScores:
    """Means over cases of one class, or of a region that unites several.

    one_sided: cases with it in only the label or only the prediction.
    counted: cases in the mean of the Hausdorff distance.
    """

    dice: float
    hausdorff_95_mm: float
    surface_dice: float
    volume_ml: float
    label_volume_ml: float
    one_sided: int
    counted: int


def measured(label: np.ndarray, prediction: np.ndarray, spacing: Sequence[float], tolerance: float) -> list[float]:
    """`MEASURES` of two masks, bool `[d, h, w]`; NaN where undefined, infinite if one is empty."""
    millilitres = math.prod(spacing) / 1000.0
    sizes = [int(mask.sum()) for mask in (label, prediction)]
    distances = surface_distances(label, prediction, spacing)
    dice = 2.0 * int((label & prediction).sum()) / sum(sizes) if sum(sizes) else math.nan
    surfaces = [hausdorff(distances), surface_dice(distances, tolerance)]
    return [dice, *surfaces, sizes[1] * millilitres, sizes[0] * millilitres]


def united(values: Mapping[str, np.ndarray]) -> dict[str, VolumeScores]:
    """Scores of each class from its `[cases, measures]`."""
    return {name: _of_class(cases) for name, cases in values.items()}


def _of_class(cases: np.ndarray) -> VolumeScores:
    dice, distance, surface, volume, label_volume = cases.T
    near = distance[np.isfinite(distance)]
    return VolumeScores(
        dice=_mean(dice),
        hausdorff_95_mm=_mean(near),
        surface_dice=_mean(surface),
        volume_ml=_mean(volume),
        label_volume_ml=_mean(label_volume),
        one_sided=int(np.isinf(distance).sum()),
        counted=len(near),
    )


def _mean(values: np.ndarray) -> float:
    values = values[~np.isnan(values)]
    return math.fsum(values.tolist()) / len(values) if len(values) else math.nan
