"""Where windows lie over an array of any number of axes, and how much each of their places counts: numbers alone.

`trainer.evaluation.windows` has the same along an axis in graph ops, for sizes that are known only there.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence

import numpy as np


def rounded_up(size: int, multiple: int) -> int:
    """The smallest multiple that is not below `size`."""
    return -(-size // multiple) * multiple


def mirrored_index(start: int, stop: int, length: int) -> np.ndarray:
    """Places start … stop - 1 on an axis of `length` that goes on beyond both ends by mirroring: … 1 0 1 2 1 0 …"""
    period = max(2 * length - 2, 1)
    position = np.arange(start, stop) % period
    return np.minimum(position, period - position) % max(length, 1)


def ramp(side: int, overlap: int) -> np.ndarray:
    """Weight of a window's places along an axis, float32 `[side]`.

    Nothing in the outer quarter of the overlap, where a window lacks what lies around it, unless no other window has
    the place; then rising over half of it, so that no edge shows.
    """
    position = np.arange(side, dtype=np.float32)
    to_the_edge = np.minimum(position, position[::-1]) + 0.5
    return np.clip((to_the_edge - overlap / 4.0) / (overlap / 2.0 + 1e-3), 1e-6, 1.0).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Axis:
    """Windows along an axis.

    Attributes:
      length: of the axis, in pixels or voxels.
      side: of a window.
      starts: of the windows, rising: the first 0, the last one ends with the extended axis.
      extended: the axis's length up to where the last window ends: `length`, or more where that is shorter than a
        window or no multiple of what windows start at; beyond its end it is mirrored.
      weights: of a window's places.
    """

    length: int
    side: int
    starts: tuple[int, ...]
    extended: int
    weights: np.ndarray

    @classmethod
    def of(cls, length: int, side: int, overlap: int, *, multiple: int = 1, fitted: bool = False) -> Axis:
        """Windows every `side - overlap` places, the last one moved back to end with the axis.

        Args:
          length: of the axis, at least 1.
          side: of a window.
          overlap: what neighbours share at least; below `side`.
          multiple: windows start at multiples of it where side and overlap are such.
          fitted: windows are as small as they can be, in multiples of `multiple`, without becoming more: windows of one
            given size cover up to twice an axis that is a little longer than one of them.
        """
        if fitted:
            count = -(-max(length - overlap, 1) // (side - overlap))
            side = min(rounded_up(-(-(length + (count - 1) * overlap) // count), multiple), side)
        extended = rounded_up(max(length, side), multiple)
        # A window that is the whole of a short axis may be smaller than the overlap.
        stride = max(side - overlap, 1)
        count = -(-(extended - side) // stride) + 1
        starts = tuple(min(number * stride, extended - side) for number in range(count))
        return cls(length, side, starts, extended, ramp(side, overlap))

    def total(self, start: int, stop: int) -> np.ndarray:
        """The weights of all windows together at places start … stop - 1, float32 `[stop - start]`."""
        sums = np.zeros(stop - start, np.float32)
        for first in self.starts:
            low, high = max(first, start), min(first + self.side, stop)
            if low < high:
                sums[low - start : high - start] += self.weights[low - first : high - first]
        return sums


def places(axes: Sequence[Axis]) -> Iterator[tuple[int, ...]]:
    """The first corner of every window, the last axis fastest."""
    return itertools.product(*(axis.starts for axis in axes))


def weights(axes: Sequence[Axis]) -> np.ndarray:
    """How much each place of a window counts where windows overlap, float32 of the window's shape."""
    product = np.ones([1] * len(axes), np.float32)
    for number, axis in enumerate(axes):
        product = product * axis.weights.reshape([-1 if n == number else 1 for n in range(len(axes))])
    return product


def spread(length: int, side: int, count: int) -> list[int]:
    """Starts of `count` windows spread evenly over an axis, the first 0 and the last ending with it."""
    step = max(length - side, 0) / max(count - 1, 1)
    return [round(number * step) for number in range(count)]
