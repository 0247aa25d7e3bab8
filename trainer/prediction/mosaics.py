"""Divides images composed of several pictures at their seams, by their numbers alone.

A network that takes statistics of its image (`input_scaling=standardize`, group or instance normalisation) is misled by
unlike pictures side by side: no single normalisation suits a dark micrograph and a bright one. Statistics of a
neighbourhood do not help, since no window fits all pictures, and a part without objects has other statistics than the
picture. So pictures are found, and each goes through the network separately.

A seam is a straight line, along an axis and through all of the part that it divides, across which neighbouring pixels
differ, in the mean of their amounts, at least `_STANDS_OUT` times as much as across any line beside it. Within a
picture content continues across every line, so that none stands out: in 190 micrographs the largest ratio was 1.6, in
185 photographs and aerial pictures 1.9 at the 99th percentile (a door's edge has more); at seams 256 pixels long the
median was 4.6.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
from PIL import Image

# How much more a seam stands out than all lines beside it, of this many on either side.
_STANDS_OUT, _BESIDE = 2.0, 8
# The share of its length, in stretches of a crop, in which it stands out at all: an object's edge ends somewhere.
_NEARLY_ALL = 0.75
# Training crops that an image has to contain: smaller images are seen as in training, whatever they show.
_CROPS = 4
# Grey levels that every line is assumed to have: without noise every step would stand out infinitely.
_FLOOR = 0.25
# Rows of an image at a time, so that differences stay small enough for the processor's cache.
_ROWS = 64


@dataclasses.dataclass(frozen=True, order=True)
class Part:
    """A rectangle of an image, in pixels."""

    top: int
    left: int
    height: int
    width: int

    @property
    def place(self) -> tuple[slice, slice]:
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


def parts(image: np.ndarray, crop: tuple[int, int]) -> list[Part]:
    """The pictures of which an image is composed, in reading order; only the image if it has no seam.

    Args:
      image: `[height, width, channels]`, values 0..255.
      crop: height and width of the training crops. An image of less than four of them is a single picture, and no
        picture is assumed to be less than half as high or wide.
    """
    whole = Part(0, 0, *image.shape[:2])
    if not may_have(*image.shape[:2], crop):
        return [whole]
    least = tuple(max(side // 2, 2 * _BESIDE) for side in crop)
    grey, todo, found = _grey(image), [whole], []
    while todo:
        part = todo.pop()
        down, across = _lines(grey[part.place], least, crop)
        if not down and not across:
            found.append(part)
        elif max(down.values(), default=0) >= max(across.values(), default=0):
            edges = [0, *sorted(down), part.height]
            pairs = zip(edges, edges[1:], strict=False)
            todo += [Part(part.top + a, part.left, b - a, part.width) for a, b in pairs]
        else:
            edges = [0, *sorted(across), part.width]
            pairs = zip(edges, edges[1:], strict=False)
            todo += [Part(part.top, part.left + a, part.height, b - a) for a, b in pairs]
    return sorted(found)


def may_have(height: int, width: int, crop: tuple[int, int]) -> bool:
    """Whether an image of this size is searched for seams."""
    return height * width >= _CROPS * crop[0] * crop[1] > 0


def bands(found: list[Part]) -> list[list[Part]]:
    """Parts in groups from top to bottom, as few as possible in each, which together are as wide as the image."""
    groups: list[list[Part]] = []
    bottom = 0
    for part in sorted(found):
        if part.top >= bottom:
            groups.append([])
        groups[-1].append(part)
        bottom = max(bottom, part.top + part.height)
    return groups


def places(found: list[Part], height: int, width: int) -> np.ndarray:
    """For each pixel of an image its number in the sequence of all parts' pixels, int32."""
    made, first = np.empty([height, width], np.int32), 0
    for part in found:
        made[part.place] = np.arange(first, first + part.height * part.width).reshape(part.height, part.width)
        first += part.height * part.width
    return made


def _grey(image: np.ndarray) -> np.ndarray:
    """`[height, width]`, uint8 if the values allow it, so that the seams are the same for any dtype of the image."""
    if image.dtype != np.uint8:
        with np.errstate(invalid="ignore"):
            whole = image.astype(np.uint8)
        image = whole if np.array_equal(whole, image) else image
    if image.dtype == np.uint8 and image.shape[2] == 3:
        made = np.empty(image.shape[:2], np.uint8)
        # Pillow holds four bytes for each pixel: not for all rows at once.
        for top in range(0, len(made), 16 * _ROWS):
            rows = np.ascontiguousarray(image[top : top + 16 * _ROWS])
            made[top : top + 16 * _ROWS] = Image.fromarray(rows).convert("L")
        return made
    if image.shape[2] == 1:
        return image[:, :, 0]
    return image.mean(axis=2, dtype=np.float32)


def _lines(
    grey: np.ndarray, least: tuple[int, int], crop: tuple[int, int]
) -> tuple[dict[int, float], dict[int, float]]:
    """Seams between rows, and between columns: start of the second side -> how much it stands out."""
    if all(side < 2 * smallest for side, smallest in zip(grey.shape, least, strict=True)):
        return {}, {}
    down, across = _jumps(grey, crop)
    return _seams(down, least[0]), _seams(across, least[1])


def _jumps(grey: np.ndarray, crop: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Mean amounts by which rows, and columns, differ from the one before, in each stretch of a crop's length.

    Returns:
      float64 `[stretches, height - 1]` and `[stretches, width - 1]`.
    """
    height, width = grey.shape
    rows_of, columns_of = (_stretches(length, side) for length, side in zip(grey.shape, crop, strict=True))
    down, across = np.empty([len(columns_of) - 1, height - 1]), np.zeros([len(rows_of) - 1, width - 1])
    for number, (begin, end) in enumerate(itertools.pairwise(rows_of)):
        for top in range(begin, end, _ROWS):
            bottom = min(top + _ROWS, end)
            rows = grey[top : bottom + 1]
            steps = _difference(rows[1:], rows[:-1])
            for place, (left, right) in enumerate(itertools.pairwise(columns_of)):
                sums = steps[:, left:right].sum(axis=1, dtype=_sums(grey))
                down[place, top : top + len(steps)] = sums / (right - left)
            rows = rows[: bottom - top]
            across[number] += _difference(rows[:, 1:], rows[:, :-1]).sum(axis=0, dtype=_sums(grey))
        across[number] /= end - begin
    return down, across


def _stretches(length: int, side: int) -> list[int]:
    """The starts of an axis's stretches, each of about a crop's length, and the end of the last."""
    count = max(1, round(length / side))
    return [length * number // count for number in range(count + 1)]


def _difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    # Without a wider type, which would take most of the time.
    return np.maximum(a, b) - np.minimum(a, b)


def _sums(grey: np.ndarray):
    return np.uint32 if grey.dtype == np.uint8 else np.float64


def _seams(jumps: np.ndarray, least: int) -> dict[int, float]:
    """Lines along an axis that stand out, the clearest first, at least `least` from each other and from the ends."""
    length = jumps.shape[1] + 1
    if length < 2 * least:
        return {}
    ratio = _ratio(jumps.mean(axis=0, keepdims=True))[0]
    clear = np.flatnonzero(ratio[least - 1 : length - least] >= _STANDS_OUT) + least - 1
    if not len(clear):
        return {}
    everywhere = (_ratio(jumps) > 1).mean(axis=0) >= _NEARLY_ALL if len(jumps) > 1 else np.ones(length - 1, bool)
    chosen: dict[int, float] = {}
    for number in clear[np.argsort(-ratio[clear], kind="stable")]:
        line = int(number) + 1
        if everywhere[number] and all(abs(line - other) >= least for other in chosen):
            chosen[line] = float(ratio[number])
    return chosen


def _ratio(jumps: np.ndarray) -> np.ndarray:
    """How much more pixels differ across each line than across the lines beside it; `[n, lines]`, like the input."""
    padded = np.pad(jumps, [(0, 0), (_BESIDE, _BESIDE)], mode="edge")
    around = np.lib.stride_tricks.sliding_window_view(padded, 2 * _BESIDE + 1, axis=1)
    beside = np.maximum(around[..., :_BESIDE].max(axis=-1), around[..., _BESIDE + 1 :].max(axis=-1))
    return jumps / (beside + _FLOOR)
