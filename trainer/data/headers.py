"""What headers alone tell before the first step: empty files, files that are no images, sizes that differ."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from configs.schema import Data
from trainer.data.agreement import size_problem
from trainer.data.decode import exif_orientation, open_image
from trainer.data.errors import DataError
from trainer.data.pairs import Pair

# Some 0.2 ms a pair on a local disk; the rest of a larger set is met in training, or by --mode=check.
MOST_PAIRS = 5000


def check_headers(root: str, pairs: Sequence[Pair], data: Data) -> list[str]:
    """Reads the headers of the first `MOST_PAIRS` pairs; says what is wrong with each file."""
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(lambda pair: _pair_problems(root, pair, data), pairs[:MOST_PAIRS])
        return [problem for problems in found for problem in problems]


def _pair_problems(root: str, pair: Pair, data: Data) -> list[str]:
    problems, sizes, turned = [], [], 1
    paths = [os.path.join(root, path) for path in (pair.image, pair.mask)]
    for path in paths:
        try:
            picture = open_image(path, data.max_pixels).picture
            orientation = exif_orientation(picture)
        except DataError as error:
            problems.append(str(error))
            continue
        turned = max(turned, orientation) if path == paths[0] else turned
        width, height = picture.size
        sizes.append((width, height) if orientation >= 5 else (height, width))
    if len(sizes) == 2 and sizes[0] != sizes[1]:
        problems.append(size_problem(paths[1], sizes[1], paths[0], sizes[0], turned))
    return problems
