"""Patches of volumes as a function of (config, seed, example number): place, turn, scale, bend and brightness.

A share of them, augment.foreground, is laid over a voxel of a class other than the first, the case's classes in turn:
example number n takes the (n mod classes)-th.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from configs.schema import Augment
from trainer.data.augment.draws import uniforms
from trainer.data.augment.intensity import varies, vary
from trainer.data.augment.placement import Draw, Placement, recolor
from trainer.data.augment.warp import Warp, rotation, warped

# Volumes whose voxels are this many times as long along one axis are only turned about that axis.
_THICK = 3.0
# Sides of voxels that differ by less count as equal.
_SQUARE = 0.01


def draw_patch(
    augment: Augment,
    seed: int,
    number: int,
    shape: Sequence[int],
    spacing: Sequence[float],
    positions: np.ndarray,
) -> Warp:
    """The place of the patch of example number `number` (counted over the whole run).

    Args:
      augment: the config's section.
      seed: the run's.
      number: step * batch_size + position in the global batch.
      shape: depth, height and width of the volume.
      spacing: millimetres of its voxels.
      positions: int `[voxels, 4]`, class and position of voxels that patches may be laid over.
    """
    drawn = iter(uniforms(seed, number, 32))
    at = [next(drawn) for _ in range(3)]
    mirrored = (augment.flip_depth, augment.flip_vertical, augment.flip_horizontal)
    flips = [value < 0.5 for value in (next(drawn), next(drawn), next(drawn))]
    flips = [flip and on for flip, on in zip(flips, mirrored, strict=True)]
    plane_at, turn_at, zoom_at, *angles_at = (next(drawn) for _ in range(6))
    happens = [next(drawn) < augment.share for _ in range(3)]
    foreground_at, voxel_at = next(drawn), next(drawn)
    offsets_at = [next(drawn) for _ in range(3)]
    side, turn = tuple(augment.crop), None
    planes = [
        (first, second)
        for first, second in ((1, 2), (0, 2), (0, 1))
        if abs(spacing[first] / spacing[second] - 1.0) < _SQUARE
    ]
    if augment.quarter_turns and planes:
        plane, times = planes[int(plane_at * len(planes))], int(turn_at * 4)
        turn = (*plane, times)
        if times % 2:
            swapped = list(side)
            swapped[plane[0]], swapped[plane[1]] = side[plane[1]], side[plane[0]]
            side = tuple(swapped)
    low, high = augment.scale
    zoom = low * (high / low) ** zoom_at if happens[0] else 1.0
    matrix = None if zoom == 1.0 else np.eye(3) / zoom
    if augment.rotate and happens[1]:
        most = math.radians(augment.rotate)
        angles = [most * (2.0 * value - 1.0) for value in angles_at]
        if max(spacing) / min(spacing) > _THICK:
            thick = int(np.argmax(spacing))
            angles = [angle if axis == thick else 0.0 for axis, angle in enumerate(angles)]
        matrix = rotation(angles, spacing) / zoom
    shortest = min(spacing)
    bend = tuple(augment.elastic * shortest / length for length in spacing) if augment.elastic and happens[2] else None
    # In pixels of the source.
    covered = [length / zoom for length in side]
    first = [_start(have, need, value) for have, need, value in zip(shape, covered, at, strict=True)]
    if len(positions) and foreground_at < augment.foreground:
        classes = np.unique(positions[:, 0])
        mine = positions[positions[:, 0] == classes[number % len(classes)]]
        voxel = mine[int(voxel_at * len(mine)), 1:]
        first = [
            _within(int(place) - math.floor(need * value), have, need)
            for place, have, need, value in zip(voxel, shape, covered, offsets_at, strict=True)
        ]
    centre = tuple(start + (need - 1.0) / 2.0 for start, need in zip(first, covered, strict=True))
    return Warp(side, centre, matrix, bend, (seed, number), turn, tuple(flips))


def _start(have: int, need: float, at: float) -> int:
    """A whole start position at which a patch lies inside the volume, or, where it is longer, covers it."""
    room = math.floor(have - need)
    return min(room, 0) + math.floor((abs(room) + 1) * at)


def _within(start: int, have: int, need: float) -> int:
    """The nearest start at which a patch is not further outside the volume than it has to be."""
    low, high = sorted((0, math.floor(have - need)))
    return min(max(start, low), high)


def place_image(image: np.ndarray, warp: Warp, augment: Augment, seed: int, number: int, span: float, out) -> None:
    """Writes the patch of float32 `[d, h, w, channels]`, with new brightness, to `out`, float32 `[*crop, channels]`."""
    crop = warped(image, warp, order=1, outside=None)
    bright_at, contrast_at = uniforms(seed, number, 34)[32:]
    drawn = Draw(
        Placement(0.0, 0.0, 0.0, 0.0),
        brightness=255.0 * augment.brightness * (2.0 * bright_at - 1.0),
        contrast=1.0 + augment.contrast * (2.0 * contrast_at - 1.0),
    )
    recolor(crop, drawn, out, span)
    if varies(augment):
        vary(out, augment, seed, number)


def positions_of(label: np.ndarray | None, void_id: int, most: int = 10_000) -> np.ndarray:
    """int32 `[voxels, 1 + rank]`: class and position of some voxels of each class but the first, evenly spread."""
    found = [np.zeros((0, 4 if label is None else 1 + label.ndim), np.int32)]
    for value in [] if label is None else np.unique(label).tolist():
        if value in (0, void_id):
            continue
        voxels = np.flatnonzero(label == value)
        voxels = voxels[:: max(1, -(-len(voxels) // most))]
        places = np.stack(np.unravel_index(voxels, label.shape), axis=1)
        found.append(np.concatenate([np.full((len(places), 1), value), places], axis=1).astype(np.int32))
    return np.concatenate(found)
