"""Resamples volumes to another grid: splines for images; for labels the class with the largest share, never a new one.

A spline is a linear map along each axis in turn, so it is applied as three products with small matrices, which are
those of scipy.ndimage.zoom. Grids share their outer borders, not the centres of their outer voxels.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from scipy import ndimage

# An axis whose voxels are this many times as long as another's is interpolated linearly: a cubic spline would ring
# between values millimetres apart.
THICK = 3.0


def resampled_shape(shape: Sequence[int], spacing: Sequence[float], target: Sequence[float]) -> tuple[int, ...]:
    """The number of voxels along each axis at another spacing, at least one; 0 in `target` keeps an axis."""
    sides = zip(shape, spacing, target, strict=True)
    return tuple(side if not wanted else max(1, round(side * have / wanted)) for side, have, wanted in sides)


def orders(spacing: Sequence[float], target: Sequence[float], order: int) -> tuple[int, ...]:
    """The spline's order along each axis: `order`, but 1 along a thick axis of either grid."""
    wanted = [have if not length else length for have, length in zip(spacing, target, strict=True)]
    thick = [max(have / min(spacing), want / min(wanted)) > THICK for have, want in zip(spacing, wanted, strict=True)]
    return tuple(1 if axis else order for axis in thick)


@functools.lru_cache(maxsize=256)
def matrix(before: int, after: int, order: int) -> np.ndarray:
    """float32 `[after, before]`: an axis of `before` values at `after` positions, by splines of this order."""
    if before == 1:
        return np.ones((after, 1), np.float32)
    unit = np.eye(before)
    made = ndimage.zoom(unit, (after / before, 1.0), order=order, mode="nearest", grid_mode=True)
    made = made.astype(np.float32)
    made.flags.writeable = False
    return made


def resample(array: np.ndarray, shape: Sequence[int], order: Sequence[int]) -> np.ndarray:
    """An array as float32 `shape`, with the same number of axes, by splines of `order` along each."""
    array = np.asarray(array, np.float32)
    # Axes that shrink come first, so that less is computed.
    for axis in sorted(range(array.ndim), key=lambda axis: shape[axis] / array.shape[axis]):
        if shape[axis] != array.shape[axis]:
            along = matrix(array.shape[axis], shape[axis], order[axis])
            array = np.moveaxis(np.tensordot(along, array, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(array)


def resample_labels(label: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Whole numbers `[d, h, w]` at `shape`: the linearly interpolated indicator of each; the largest wins."""
    if tuple(shape) == label.shape:
        return label
    best, result = None, None
    for value in np.unique(label):
        share = resample(label == value, shape, (1, 1, 1))
        if best is None:
            best, result = share, np.full(tuple(shape), value, label.dtype)
            continue
        larger = share > best
        result[larger] = value
        np.maximum(best, share, out=best)
    return result


def places(before: int, after: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each of `after` values along an axis: the two of `before` around it, and the share of the second.

    The linear interpolation of `matrix`, where the whole volume does not fit in memory.
    """
    position = np.clip((np.arange(after) + 0.5) * (before / after) - 0.5, 0, before - 1)
    low = np.minimum(position.astype(np.int64), max(before - 2, 0))
    return low, np.minimum(low + 1, before - 1), (position - low).astype(np.float32)
