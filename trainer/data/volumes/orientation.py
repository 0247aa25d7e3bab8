"""Volumes in a common position: depth from foot to head, height from back to front, width from left to right."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Orientation:
    """How a file's axes x, y, z become depth, height and width: the nearest to superior, anterior and right.

    axes: the file's, for depth, height and width.
    flips: whether each of them then runs the other way.
    spacing: millimetres of a voxel along depth, height and width.
    """

    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    spacing: tuple[float, float, float]

    @classmethod
    def of(cls, affine: np.ndarray) -> Orientation:
        """The orientation of the volumes with an affine `[4, 4]` to millimetres right, anterior, superior."""
        lengths = np.linalg.norm(affine[:3, :3], axis=0)
        # The share of each file axis along each direction; the largest are assigned first, each once.
        cosines = affine[:3, :3] / lengths
        left, chosen = np.abs(cosines), {}
        for _ in range(3):
            direction, axis = np.unravel_index(np.argmax(left), (3, 3))
            chosen[int(direction)] = int(axis)
            left[direction, :] = left[:, axis] = -1
        axes = tuple(chosen[direction] for direction in (2, 1, 0))
        flips = tuple(bool(cosines[direction, chosen[direction]] < 0) for direction in (2, 1, 0))
        return cls(axes, flips, tuple(float(lengths[axis]) for axis in axes))

    def turned(self, array: np.ndarray) -> np.ndarray:
        """`[x, y, z, …]` of the file as `[depth, height, width, …]`; a view."""
        turned = array.transpose(*self.axes, *range(3, array.ndim))
        return turned[self._backwards]

    def back(self, array: np.ndarray) -> np.ndarray:
        """`[depth, height, width, …]` as `[x, y, z, …]` of the file; a view."""
        inverse = np.argsort(self.axes).tolist()
        return array[self._backwards].transpose(*inverse, *range(3, array.ndim))

    @property
    def _backwards(self) -> tuple[slice, ...]:
        return tuple(slice(None, None, -1 if flip else 1) for flip in self.flips)
