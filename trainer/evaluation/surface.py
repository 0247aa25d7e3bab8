"""Distances between the surfaces of two masks in millimetres, each piece of surface counted with its area.

The surface lies between voxels: at each corner where eight voxels meet, those inside determine which piece of surface
passes there, and its area (marching cubes). Definitions, and areas, are those of Nikolov et al. 2018,
"Deep learning to achieve clinically applicable segmentation of head and neck anatomy for radiotherapy",
arXiv:1809.04430; results agree with the authors' package surface-distance:

  hausdorff_95    the distance from the other surface within which 95 % of a surface's area lies; the larger of the two
  surface_dice    the share of both surfaces' area within a tolerance of the other
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Sequence

import numpy as np
from scipy import ndimage

# Pieces of surface at a corner, by the voxels around it that are inside: each a normal whose length is its area, in
# eighths of a voxel's side, without signs. A row for each of the 14 cases that differ by more than a turn, a mirror
# image, or inside for outside (surface-distance 0.1, lookup_tables.py; Apache License 2.0).
_PIECES = {
    0: (),
    1: ((1, 1, 1),),
    3: ((2, 2, 0), (2, 2, 0)),
    6: ((1, 1, 1), (1, 1, 1)),
    7: ((1, 1, 1), (2, 2, 2), (4, 0, 0)),
    15: ((4, 0, 0), (4, 0, 0)),
    22: ((1, 1, 1), (1, 1, 1), (1, 1, 1)),
    23: ((1, 1, 1), (1, 1, 1), (2, 2, 2), (2, 2, 2)),
    24: ((1, 1, 1), (1, 1, 1)),
    25: ((0, 2, 2), (0, 2, 2), (1, 1, 1)),
    27: ((0, 2, 2), (1, 1, 1), (2, 0, 2), (3, 3, 3)),
    30: ((1, 1, 1), (1, 1, 1), (2, 2, 2), (4, 0, 0)),
    60: ((2, 2, 0), (2, 2, 0), (2, 2, 0), (2, 2, 0)),
    105: ((1, 1, 1), (1, 1, 1), (1, 1, 1), (1, 1, 1)),
}
# The bit of each voxel around a corner.
_BITS = np.array([[[128, 64], [32, 16]], [[8, 4], [2, 1]]])


@dataclasses.dataclass(frozen=True)
class SurfaceDistances:
    """For each piece of two surfaces: its area in mm², and the distance in mm to the other, infinite if empty."""

    to_second: np.ndarray
    to_first: np.ndarray
    first_areas: np.ndarray
    second_areas: np.ndarray


def surface_distances(first: np.ndarray, second: np.ndarray, spacing: Sequence[float]) -> SurfaceDistances:
    """Distances between the surfaces of two masks.

    Args:
      first, second: bool `[depth, height, width]`; False beyond the border.
      spacing: millimetres of a voxel along each axis.
    """
    if first.shape != second.shape or first.ndim != 3 or len(spacing) != 3:
        raise ValueError(
            f"surface_distances takes two masks [depth, height, width] of one shape, and three lengths. Received: "
            f"{first.shape}, {second.shape}, spacing={tuple(spacing)}"
        )
    box = _box(first | second)
    if box is None:
        return SurfaceDistances(*(np.zeros(0) for _ in range(4)))
    codes = [_codes(mask[box]) for mask in (first, second)]
    borders = [(code != 0) & (code != 255) for code in codes]
    fields = [
        ndimage.distance_transform_edt(~border, sampling=spacing) if border.any() else np.full(border.shape, math.inf)
        for border in borders
    ]
    areas = _areas(tuple(float(length) for length in spacing))
    return SurfaceDistances(
        fields[1][borders[0]], fields[0][borders[1]], areas[codes[0][borders[0]]], areas[codes[1][borders[1]]]
    )


def hausdorff(distances: SurfaceDistances, percent: float = 95.0) -> float:
    """The distance in mm from the other surface within which `percent` of a surface's area lies; the larger of the two.

    Infinite where one mask is empty, NaN where both are.
    """
    sides = ((distances.to_second, distances.first_areas), (distances.to_first, distances.second_areas))
    if not any(len(found) for found, _ in sides):
        return math.nan
    return max(_percentile(found, areas, percent) for found, areas in sides)


def surface_dice(distances: SurfaceDistances, tolerance: float) -> float:
    """The share of both surfaces' area within `tolerance` mm of the other; 0 where one is empty, NaN where both are."""
    whole = distances.first_areas.sum() + distances.second_areas.sum()
    near = distances.first_areas[distances.to_second <= tolerance].sum()
    near += distances.second_areas[distances.to_first <= tolerance].sum()
    return float(near / whole) if whole else math.nan


def _percentile(found: np.ndarray, areas: np.ndarray, percent: float) -> float:
    if not len(found):
        return math.inf
    order = np.lexsort((areas, found))
    reached = np.cumsum(areas[order])
    position = np.searchsorted(reached / areas.sum(), percent / 100.0)
    return float(found[order][min(position, len(found) - 1)])


def _box(mask: np.ndarray) -> tuple[slice, ...] | None:
    box = []
    for axis in range(3):
        along = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        if not len(along):
            return None
        box.append(slice(int(along[0]), int(along[-1]) + 1))
    return tuple(box)


def _codes(mask: np.ndarray) -> np.ndarray:
    """uint8, longer by 1 along each axis: which of the eight voxels around each corner are inside."""
    padded = np.pad(mask, 1).astype(np.uint8)
    sides = [side - 1 for side in padded.shape]
    codes = np.zeros(sides, np.uint8)
    for at in itertools.product((0, 1), repeat=3):
        part = tuple(slice(first, first + side) for first, side in zip(at, sides, strict=True))
        codes |= padded[part] * np.uint8(_BITS[at])
    return codes


@functools.lru_cache(maxsize=8)
def _areas(spacing: tuple[float, float, float]) -> np.ndarray:
    """mm² of the surface at a corner, float64 `[256]` by code."""
    faces = np.array([spacing[1] * spacing[2], spacing[0] * spacing[2], spacing[0] * spacing[1]]) / 8.0
    areas = np.zeros(256)
    for code, pieces in _PIECES.items():
        voxels = (code & _BITS) > 0
        for order in itertools.permutations(range(3)):
            turned = [tuple(piece[axis] for axis in order) for piece in pieces]
            area = sum(float(np.linalg.norm(np.array(piece) * faces)) for piece in turned)
            for steps in itertools.product((1, -1), repeat=3):
                inside = voxels.transpose(order)[tuple(slice(None, None, step) for step in steps)]
                other = int(_BITS[inside].sum())
                areas[other] = areas[255 - other] = area
    areas.flags.writeable = False
    return areas
