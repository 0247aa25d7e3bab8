"""The positions of windows over an array of any number of axes, and the weights of their pixels.

`trainer.prediction.tiling` has the same along an axis in graph ops, for sizes known only there.
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
    """Indices of start … stop - 1 on an axis of `length` that is mirrored beyond both ends: … 1 0 1 2 1 0 …"""
    period = max(2 * length - 2, 1)
    position = np.arange(start, stop) % period
    return np.minimum(position, period - position) % max(length, 1)


def ramps(starts: Sequence[int], side: int, overlap: int, length: int) -> np.ndarray:
    """Weights of windows' pixels along an axis of `length`, float32 `[windows, side]`.

    0 in the outer quarter of the overlap, where a window lacks its surroundings, unless no other window has the pixel;
    then rising over half of the overlap, so that no edge shows. At the ends of the axis nothing is lacking.
    """
    starts, position = np.asarray(starts, np.float32)[:, None], np.arange(side, dtype=np.float32)
    before = np.where(starts == 0, np.float32(np.inf), position)
    after = np.where(starts + side == length, np.float32(np.inf), position[::-1])
    to_the_edge = np.minimum(before, after) + 0.5
    return np.clip((to_the_edge - overlap / 4.0) / (overlap / 2.0 + 1e-3), 1e-6, 1.0).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Axis:
    """Windows along an axis.

    Attributes:
      length: that of the axis, in pixels or voxels.
      side: that of a window.
      starts: those of the windows, rising from 0; the last window ends with the extended axis.
      extended: the axis's length up to the end of the last window: `length`, or more if that is shorter than a window
        or not a multiple of the step of starts; beyond its end the axis is mirrored.
      weights: those of each window's pixels, float32 `[windows, side]`.
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
          length: that of the axis, at least 1.
          side: that of a window.
          overlap: the least that neighbours share; below `side`.
          multiple: windows start at multiples of it if side and overlap are multiples.
          fitted: whether windows are made as small as possible, in multiples of `multiple`, without becoming more:
            windows of a given size cover up to twice an axis that is a little longer than one of them.
        """
        if fitted:
            count = -(-max(length - overlap, 1) // (side - overlap))
            side = min(rounded_up(-(-(length + (count - 1) * overlap) // count), multiple), side)
        extended = rounded_up(max(length, side), multiple)
        # A window as long as a short axis may be smaller than the overlap.
        stride = max(side - overlap, 1)
        count = -(-(extended - side) // stride) + 1
        starts = tuple(min(number * stride, extended - side) for number in range(count))
        return cls(length, side, starts, extended, ramps(starts, side, overlap, extended))

    def total(self, start: int, stop: int) -> np.ndarray:
        """The weights of all windows together at start … stop - 1, float32 `[stop - start]`."""
        sums = np.zeros(stop - start, np.float32)
        for first, weights in zip(self.starts, self.weights, strict=True):
            low, high = max(first, start), min(first + self.side, stop)
            if low < high:
                sums[low - start : high - start] += weights[low - first : high - first]
        return sums


def windows(axes: Sequence[Axis]) -> Iterator[tuple[tuple[slice, ...], np.ndarray]]:
    """The position of every window, the last axis fastest, and its weights, float32 in the window's shape."""
    for numbers in itertools.product(*(range(len(axis.starts)) for axis in axes)):
        both = list(zip(axes, numbers, strict=True))
        place = tuple(slice(axis.starts[n], axis.starts[n] + axis.side) for axis, n in both)
        yield place, outer([axis.weights[n] for axis, n in both])


def outer(vectors: Sequence[np.ndarray]) -> np.ndarray:
    """The product of vectors, each along its own axis."""
    product = np.ones([1] * len(vectors), np.float32)
    for number, vector in enumerate(vectors):
        product = product * vector.reshape([-1 if n == number else 1 for n in range(len(vectors))])
    return product
