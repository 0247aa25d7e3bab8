"""A crop of an image or a volume that is turned, scaled or bent, by a single map from its pixels into the source.

It has as many axes as the source, which may be mapped from a file: only the part under the crop is read.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from trainer.data.augment.draws import uniforms_at
from trainer.data.volumes.resampling import resample

# Knots of the smooth deformation along each axis.
_KNOTS = 5
# Further pixels read around the crop.
_MARGIN = 2


@dataclasses.dataclass(frozen=True)
class Warp:
    """The place of a crop: `source = centre + matrix @ (pixel - middle of the crop) + bend(pixel)`.

    shape: of the crop before quarter turns.
    centre: in pixels of the source, whose centres are whole numbers.
    matrix: float64 `[rank, rank]`; None is the identity.
    bend: the largest shift along each axis, in pixels of the source; None for no bend.
    key: (seed, number) of the random numbers of the bend.
    turn: two axes, and the number of quarter turns from the first towards the second.
    flips: the axes along which it is mirrored after that.
    """

    shape: tuple[int, ...]
    centre: tuple[float, ...]
    matrix: np.ndarray | None = None
    bend: tuple[float, ...] | None = None
    key: tuple[int, int] = (0, 0)
    turn: tuple[int, int, int] | None = None
    flips: tuple[bool, ...] = ()


def middle(shape: Sequence[int]) -> np.ndarray:
    """The position of the middle of a grid of pixels."""
    return (np.array(shape, np.float64) - 1.0) / 2.0


def rotation(angles: Sequence[float], spacing: Sequence[float]) -> np.ndarray:
    """A rotation as a map of indices, float64 `[rank, rank]`, for pixels with sides of `spacing`.

    Args:
      angles: radians: one for an image; three for a volume, about depth, height and width.
      spacing: any unit.
    """
    rank = len(spacing)
    planes = [(0, 1)] if rank == 2 else [(1, 2), (0, 2), (0, 1)]
    turned = np.eye(rank)
    for angle, (first, second) in zip(angles, planes, strict=True):
        single = np.eye(rank)
        single[first, first] = single[second, second] = math.cos(angle)
        single[first, second], single[second, first] = -math.sin(angle), math.sin(angle)
        turned = single @ turned
    sides = np.asarray(spacing, np.float64)
    return turned * sides[None, :] / sides[:, None]


def warped(array: np.ndarray, warp: Warp, *, order: int, outside: float | None) -> np.ndarray:
    """The crop `[*shape, channels]` of `[*space, channels]`.

    Args:
      array: any type; with `order` 0 it is kept, otherwise the result is float32.
      warp: the crop's place.
      order: 1 interpolates linearly, 0 takes the nearest pixel.
      outside: the value beyond the border; None mirrors the inside.
    """
    rank = len(warp.shape)
    if warp.matrix is None and warp.bend is None:
        return turned(_plain(array, warp, outside), warp)
    matrix = np.eye(rank) if warp.matrix is None else warp.matrix
    offset = np.asarray(warp.centre) - matrix @ middle(warp.shape)
    places = None
    if warp.bend is None:
        corners = np.array(np.meshgrid(*[(0, side - 1) for side in warp.shape], indexing="ij")).reshape(rank, -1)
        reached = matrix @ corners + offset[:, None]
        lowest, highest = reached.min(axis=1), reached.max(axis=1)
    else:
        grid = np.indices(warp.shape, np.float32).reshape(rank, -1)
        places = (matrix.astype(np.float32) @ grid + offset[:, None].astype(np.float32)) + _bends(warp)
        lowest, highest = places.min(axis=1), places.max(axis=1)
    window, start = _window(array, lowest, highest)
    mode = {"mode": "reflect"} if outside is None else {"mode": "grid-constant", "cval": outside}
    kind = array.dtype if order == 0 else np.float32
    crop = np.empty((*warp.shape, array.shape[-1]), kind)
    for channel in range(array.shape[-1]):
        values = np.asarray(window[..., channel], kind)
        if places is None:
            made = ndimage.affine_transform(
                values, matrix, offset - start, warp.shape, order=order, prefilter=False, output=kind, **mode
            )
        else:
            moved = places - start[:, None].astype(np.float32)
            made = ndimage.map_coordinates(values, moved, order=order, prefilter=False, output=kind, **mode)
        crop[..., channel] = made.reshape(warp.shape)
    return turned(crop, warp)


def turned(crop: np.ndarray, warp: Warp) -> np.ndarray:
    """The crop after quarter turns and flips; a view."""
    if warp.turn is not None:
        first, second, times = warp.turn
        crop = np.rot90(crop, times, axes=(first, second))
    return crop[tuple(slice(None, None, -1 if flip else 1) for flip in warp.flips)]


def _plain(array: np.ndarray, warp: Warp, outside: float | None) -> np.ndarray:
    """Whole pixels, copied; mirrored or filled beyond the border."""
    inside, missing = [], []
    for side, length, middle_at in zip(warp.shape, array.shape, warp.centre, strict=False):
        first = round(middle_at - (side - 1) / 2.0)
        inside.append(slice(min(max(first, 0), length), min(max(first + side, 0), length)))
        missing.append((min(max(-first, 0), side), min(max(first + side - length, 0), side)))
    crop = array[tuple(inside)]
    if not any(before or after for before, after in missing):
        return crop
    missing.append((0, 0))
    if outside is None:
        return np.pad(crop, missing, mode="symmetric")
    return np.pad(crop, missing, constant_values=outside)


def _window(array: np.ndarray, lowest: np.ndarray, highest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The part of the source between two positions, with a margin, and its start."""
    parts, starts = [], []
    for low, high, length in zip(lowest, highest, array.shape, strict=False):
        first = min(max(math.floor(low) - _MARGIN, 0), length - 1)
        last = min(max(math.ceil(high) + _MARGIN + 1, first + 1), length)
        parts.append(slice(first, last))
        starts.append(first)
    return array[tuple(parts)], np.array(starts, np.float64)


def _bends(warp: Warp) -> np.ndarray:
    """A smooth random shift of each pixel of the crop, float32 `[rank, pixels]`, at most `bend` along each axis."""
    rank = len(warp.shape)
    count = _KNOTS**rank
    drawn = uniforms_at(*warp.key, rank * count).reshape(rank, *(_KNOTS,) * rank) * 2.0 - 1.0
    smooth = [resample(drawn[axis], warp.shape, (3,) * rank).reshape(-1) * warp.bend[axis] for axis in range(rank)]
    return np.stack([np.clip(shift, -most, most) for shift, most in zip(smooth, warp.bend, strict=True)])
