"""Faults that headers show before the first step: empty files, files that are not images, sizes that differ."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from configs.schema import Data
from trainer.data.errors import DataError
from trainer.data.images.files import Opened, exif_orientation, open_image
from trainer.data.sources.agreement import alike, size_problem
from trainer.data.sources.pairs import Pair

# About 0.2 ms a pair on a local disk; the rest of a larger set is checked in training, or by --mode=check.
MOST_PAIRS = 5000


def check_headers(root: str, pairs: Sequence[Pair], data: Data) -> list[str]:
    """Reads the headers of the first `MOST_PAIRS` pairs, and returns the problems of each file."""
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda pair: _pair_problems(root, pair, data), pairs[:MOST_PAIRS])
        return [problem for problems in found for problem in problems]


def _pair_problems(root: str, pair: Pair, data: Data) -> list[str]:
    opened: list[Opened] = []
    try:
        return _compared(root, pair, data, opened)
    finally:
        for file in opened:
            file.stream.close()


def _compared(root: str, pair: Pair, data: Data, opened: list[Opened]) -> list[str]:
    problems: list[str] = []
    paths = [os.path.join(root, path) for path in (pair.image, pair.mask)]
    for path in paths:
        try:
            opened.append(open_image(path, data.max_pixels, header=True))
        except DataError as error:
            problems.append(str(error))
    if problems:
        return problems
    try:
        if _size(opened[0], whole=False) == _size(opened[1], whole=False):
            return []
        image_size, mask_size = (_size(file, whole=True) for file in opened)
        if image_size != mask_size and not (data.resize_masks and alike(image_size, mask_size)):
            turned = exif_orientation(opened[0], whole=True)
            problems.append(size_problem(paths[1], mask_size, paths[0], image_size, turned))
    except DataError as error:
        problems.append(str(error))
    return problems


def _size(opened: Opened, *, whole: bool) -> tuple[int, int]:
    """Height and width after the file is turned upright."""
    width, height = opened.picture.size
    return (width, height) if exif_orientation(opened, whole=whole) >= 5 else (height, width)
