"""What the U-Net does to each axis: the factors by which its levels shrink it, and the sides of its kernels.

For volumes whose voxels are longer along one axis both follow from the spacing, as in nnU-Net (Isensee et al. 2021,
"nnU-Net: a self-configuring method for deep learning-based biomedical image segmentation", Nature Methods 18): an axis
is not shrunk, and is not convolved along, until the others' voxels have come within a factor of two of its own.
"""

from __future__ import annotations

import dataclasses
import math

from configs.schema import Config

# Voxels of the crop that an axis keeps at least, at the bottom.
_FEWEST = 4


@dataclasses.dataclass(frozen=True)
class Levels:
    """strides: a row of factors a level down, one an axis. kernels: a row of sides a level, and one for the bottom."""

    strides: tuple[tuple[int, ...], ...]
    kernels: tuple[tuple[int, ...], ...]

    @property
    def multiples(self) -> tuple[int, ...]:
        """What the sides of an image have to be divisible by, one an axis."""
        return tuple(math.prod(row[axis] for row in self.strides) for axis in range(len(self.kernels[0])))


def rank_of(config: Config) -> int:
    """Axes of space, as many as the training crop has: 2 of images, 3 of volumes."""
    return len(config.augment.crop)


def levels(config: Config) -> Levels:
    """The levels of `model.name="unet"`: from model.strides and model.kernels, else from spacing and crop."""
    model, rank = config.model, rank_of(config)
    strides, kernels = (
        _derived(config) if rank == 3 else (((2,) * rank,) * model.depth, ((3,) * rank,) * (model.depth + 1))
    )
    return Levels(model.strides or strides, model.kernels or kernels)


def _derived(config: Config) -> tuple[tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]]:
    sides = list(config.augment.crop)
    spacing = list(config.data.spacing) if len(config.data.spacing) == 3 and all(config.data.spacing) else [1.0] * 3
    strides, kernels = [], []
    wide = [False] * 3
    given = config.model.strides
    for level in range(config.model.depth + 1):
        # Once there are convolutions along an axis, there are at all levels below.
        wide = [before or length < 2 * min(spacing) for before, length in zip(wide, spacing, strict=True)]
        kernels.append(tuple(3 if axis else 1 for axis in wide))
        if level == config.model.depth:
            break
        row = tuple(
            2 if length < 2 * min(spacing) and side % 2 == 0 and side // 2 >= _FEWEST else 1
            for side, length in zip(sides, spacing, strict=True)
        )
        row = tuple(given[level]) if level < len(given) and len(given[level]) == 3 else row
        strides.append(row)
        sides = [side // factor for side, factor in zip(sides, row, strict=True)]
        spacing = [length * factor for length, factor in zip(spacing, row, strict=True)]
    return tuple(strides), tuple(kernels)
