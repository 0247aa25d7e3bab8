"""Twenty pairs of masks whose surfaces are compared: what makes each, the spacing in mm, and the tolerance in mm."""

import functools

import numpy as np


def ball(shape, centre, radius, spacing=(1.0, 1.0, 1.0)):
    axes = np.meshgrid(*[np.arange(side) for side in shape], indexing="ij")
    squares = [((axis - at) * length) ** 2 for axis, at, length in zip(axes, centre, spacing, strict=True)]
    return sum(squares) <= radius**2


def box(shape, low, high):
    mask = np.zeros(shape, bool)
    mask[tuple(slice(first, last) for first, last in zip(low, high, strict=True))] = True
    return mask


def noise(shape, seed, share):
    return np.random.default_rng(seed).random(shape) < share


def of(function, *arguments):
    return functools.partial(function, *arguments)


_S, _T, _M = (24, 24, 24), (20, 30, 16), (1.0, 1.0, 1.0)
_EMPTY = of(box, _S, (0, 0, 0), (0, 0, 0))
SHAPES = {
    "equal balls": (of(ball, _S, (12, 12, 12), 7), of(ball, _S, (12, 12, 12), 7), _M, 1.0),
    "shifted balls": (of(ball, _S, (12, 12, 12), 7), of(ball, _S, (12, 14, 11), 7), _M, 1.0),
    "balls of two sizes": (of(ball, _S, (12, 12, 12), 4), of(ball, _S, (12, 12, 12), 9), _M, 2.0),
    "balls apart": (of(ball, _S, (6, 6, 6), 4), of(ball, _S, (17, 17, 17), 4), _M, 3.0),
    "balls that touch": (of(ball, _S, (8, 12, 12), 4), of(ball, _S, (17, 12, 12), 4), _M, 1.0),
    "flat voxels": (
        of(ball, _T, (10, 15, 8), 7, (2, 1, 1)),
        of(ball, _T, (10, 13, 8), 7, (2, 1, 1)),
        (2.0, 1.0, 1.0),
        1.0,
    ),
    "voxels of three lengths": (
        of(ball, _T, (9, 15, 8), 5, (3, 0.7, 1.3)),
        of(ball, _T, (10, 16, 7), 5, (3, 0.7, 1.3)),
        (3.0, 0.7, 1.3),
        1.5,
    ),
    "slices 5 mm apart": (
        of(ball, _T, (10, 15, 8), 12, (5, 1, 1)),
        of(box, _T, (8, 9, 4), (12, 20, 12)),
        (5.0, 1.0, 1.0),
        2.0,
    ),
    "equal boxes": (of(box, _S, (5, 6, 7), (15, 12, 20)), of(box, _S, (5, 6, 7), (15, 12, 20)), _M, 0.0),
    "boxes that share a face": (of(box, _S, (4, 4, 4), (10, 16, 16)), of(box, _S, (10, 4, 4), (16, 16, 16)), _M, 1.0),
    "boxes that share an edge": (of(box, _S, (4, 4, 4), (10, 10, 16)), of(box, _S, (10, 10, 4), (16, 16, 16)), _M, 1.0),
    "boxes that share a corner": (of(box, _S, (4, 4, 4), (9, 9, 9)), of(box, _S, (9, 9, 9), (15, 15, 15)), _M, 1.0),
    "a box in a box": (
        of(box, _S, (2, 2, 2), (22, 22, 22)),
        of(box, _S, (8, 9, 10), (14, 15, 16)),
        (1.0, 2.0, 0.5),
        3.0,
    ),
    "at the border": (of(box, _S, (0, 0, 0), (24, 10, 24)), of(box, _S, (0, 0, 0), (24, 12, 20)), _M, 2.0),
    "single voxels": (of(box, _S, (3, 3, 3), (4, 4, 4)), of(box, _S, (3, 7, 6), (4, 8, 7)), (1.5, 1.0, 1.0), 1.0),
    "thin plates": (of(box, _S, (5, 2, 2), (6, 22, 22)), of(box, _S, (7, 2, 2), (8, 22, 22)), (0.8, 0.8, 0.8), 1.6),
    "every corner there is": (of(noise, (14, 15, 16), 0, 0.5), of(noise, (14, 15, 16), 1, 0.5), (1.0, 1.5, 0.6), 0.8),
    "sparse against dense": (of(noise, (14, 15, 16), 2, 0.02), of(noise, (14, 15, 16), 3, 0.9), (2.0, 1.0, 1.0), 1.0),
    "nothing predicted": (of(ball, _S, (12, 12, 12), 5), _EMPTY, _M, 1.0),
    "nothing in either": (_EMPTY, _EMPTY, _M, 1.0),
}
