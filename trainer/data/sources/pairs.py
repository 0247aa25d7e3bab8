"""What a folder comes down to: pairs of files in two splits, and what is wrong with the rest."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence

import numpy as np

from configs.schema import Data
from trainer.data.decode import (
    MaskValues,
    bands_of,
    decode_values,
    deep_values,
    exif_orientation,
    open_image,
    read_image,
)
from trainer.data.errors import DataError, shown
from trainer.data.example import Example
from trainer.data.masks import decode_mask
from trainer.data.sources.agreement import read_both


@dataclasses.dataclass(frozen=True, order=True)
class Pair:
    """An image and its mask, as paths below the folder, with "/" between the parts.

    more: further masks of the image, united with the first: one an object.
    """

    image: str
    mask: str
    more: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return shown(self.image)


@dataclasses.dataclass(frozen=True)
class Listing:
    """What a folder holds.

    test: neither trained on nor evaluated, unless it is asked for.
    named: the splits that folders or lists name.
    problems: what is wrong with single files: each can be skipped.
    fatal: what leaves nothing to train on or to evaluate.
    notes: what was left out on purpose.
    """

    train: tuple[Pair, ...] = ()
    validation: tuple[Pair, ...] = ()
    test: tuple[Pair, ...] = ()
    named: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    fatal: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class FilePairs:
    """Reads the pairs of a folder, by index."""

    def __init__(self, root: str, pairs: Sequence[Pair], data: Data):
        self.root = root
        self.pairs = pairs
        self.names = tuple(pair.name for pair in pairs)
        self._data = data

    def reading(self, data: Data) -> FilePairs:
        """The same pairs, read as another section says."""
        return FilePairs(self.root, self.pairs, data)

    def deep_values(self, index: int) -> np.ndarray | None:
        """The pixels of an image with more than 8 bits as they are, `[height, width, bands]`; None of any other."""
        return deep_values(os.path.join(self.root, self.pairs[index].image), self._data)

    def bands(self, index: int) -> int:
        """The channels of an image where the config leaves them open."""
        return bands_of(os.path.join(self.root, self.pairs[index].image), self._data)

    def mask_values(self, index: int) -> MaskValues:
        """What the mask file of a pair says, before any encoding."""
        return decode_values(
            os.path.join(self.root, self.pairs[index].mask), self._data.max_pixels, pages=self._data.pages
        )

    def __call__(self, index: int) -> Example:
        pair, data = self.pairs[index], self._data
        image_path, mask_path = os.path.join(self.root, pair.image), os.path.join(self.root, pair.mask)
        return read_both(
            pair.name,
            image_path,
            lambda: read_image(image_path, data),
            mask_path,
            lambda: self._label(mask_path, pair.more),
            lambda: exif_orientation(open_image(image_path, data.max_pixels), whole=True),
        )

    def _label(self, path: str, more: Sequence[str]) -> np.ndarray:
        label = decode_mask(path, self._data)
        for other in more:
            another = decode_mask(os.path.join(self.root, other), self._data)
            if another.shape != label.shape:
                raise DataError(f"{shown(other)}: has another size than {shown(path)}, a mask of the same image.")
            label = np.where(another != 0, another, label)
        return label
