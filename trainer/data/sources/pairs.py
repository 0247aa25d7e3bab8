"""The result of listing a folder: pairs of files in splits, and the problems of other files."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence

import numpy as np

from configs.schema import Data
from trainer.data.errors import DataError, shown
from trainer.data.example import Example, Feature, overlapping_features
from trainer.data.images.decode import bands_of, deep_values, read_image
from trainer.data.images.files import exif_orientation, open_image
from trainer.data.masks.class_ids import decode_mask, foreground, label_type
from trainer.data.masks.values import MaskValues, decode_values
from trainer.data.sources.agreement import read_both


@dataclasses.dataclass(frozen=True, order=True)
class Pair:
    """An image and its mask, as paths below the folder, with "/" between the parts.

    more: further masks of the image, one for each object, united with the first.
    kinds: the names of the masks' classes, in order, if each mask has one class and classes may overlap.
    page: that of both files, from 0, if their pages are slices; otherwise -1.
    """

    image: str
    mask: str
    more: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    page: int = -1

    @property
    def name(self) -> str:
        return shown(self.image) + (f"[{self.page}]" if self.page >= 0 else "")


@dataclasses.dataclass(frozen=True)
class Listing:
    """The contents of a folder.

    test: neither trained on nor evaluated, unless requested.
    named: the splits named by folders or lists.
    problems: faults of single files, each of which can be skipped.
    fatal: faults that leave nothing to train on or to evaluate.
    notes: files left out on purpose.
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

    @property
    def features(self) -> dict[str, Feature] | None:
        """How labels of classes that overlap travel; None for the usual way of others."""
        return overlapping_features(self._data)

    @property
    def kinds(self) -> tuple[str, ...]:
        """The classes in the names of mask files, if there is a file for each; in alphabetical order."""
        return tuple(sorted({name for pair in self.pairs for name in pair.kinds}))

    def reading(self, data: Data) -> FilePairs:
        """The same pairs, read with another data section."""
        return type(self)(self.root, self.pairs, data)

    def deep_values(self, index: int) -> np.ndarray | None:
        """The unchanged pixels of an image with more than 8 bits, `[height, width, bands]`; None for any other."""
        pair = self.pairs[index]
        return deep_values(os.path.join(self.root, pair.image), self._data, _page(pair))

    def bands(self, index: int) -> int:
        """The channels of an image, if the config leaves them open."""
        return bands_of(os.path.join(self.root, self.pairs[index].image), self._data)

    def mask_values(self, index: int) -> MaskValues:
        """The values in a pair's mask file, before any encoding; with a file for each class, one plane for each."""
        pair = self.pairs[index]
        if pair.kinds:
            # Nothing is known about classes without a file here.
            planes = [self._values(path).values for path in (pair.mask, *pair.more)]
            if len({plane.shape[:2] for plane in planes}) > 1:
                raise DataError(f"{pair.name}: its {len(planes)} masks are of several sizes.")
            return MaskValues(np.dstack([p if p.ndim == 2 else p.max(axis=2) for p in planes]), None, "")
        return self._values(pair.mask, _page(pair))

    def _values(self, mask: str, page: int | None = None) -> MaskValues:
        data = self._data
        planes_allowed = data.multi_label and (data.mask_encoding, data.pages) == ("auto", "refuse")
        pages = "planes" if data.mask_encoding == "planes" or planes_allowed else data.pages
        return decode_values(os.path.join(self.root, mask), self._data.max_pixels, pages=pages, page=page)

    def mask_file(self, index: int) -> str:
        """The path of the mask, or of the first of several, for objects or classes."""
        return os.path.join(self.root, self.pairs[index].mask)

    def __call__(self, index: int) -> Example:
        pair, data = self.pairs[index], self._data
        image_path, mask_path = os.path.join(self.root, pair.image), os.path.join(self.root, pair.mask)
        return read_both(
            pair.name,
            image_path,
            lambda: read_image(image_path, data, page=_page(pair)),
            mask_path,
            lambda: self._of_classes(pair) if pair.kinds else self._label(pair),
            lambda: exif_orientation(open_image(image_path, data.max_pixels), whole=True),
            resize=data.resize_masks,
        )

    def _label(self, pair: Pair) -> np.ndarray:
        path = os.path.join(self.root, pair.mask)
        label = decode_mask(path, self._data, page=_page(pair))
        for other in pair.more:
            another = decode_mask(os.path.join(self.root, other), self._data)
            if another.shape != label.shape:
                raise DataError(f"{shown(other)}: has another size than {shown(path)}, a mask of the same image.")
            label = np.where(another != 0, another, label)
        return label

    def _of_classes(self, pair: Pair) -> np.ndarray:
        """A plane for each class, from a file for each; or ids, the later on top, if classes exclude each other.

        A class without a file does not occur in this image.
        """
        data, label = self._data, None
        for name, path in zip(pair.kinds, (pair.mask, *pair.more), strict=True):
            if name not in data.classes:
                raise DataError(f"{shown(path)}: is a mask of {name!r}, which is no class: {', '.join(data.classes)}.")
            mask = self._values(path)
            values = mask.values if mask.values.ndim == 2 else mask.values.max(axis=2)
            if label is None:
                planes = (len(data.classes),) if data.multi_label else ()
                label = np.zeros((*values.shape, *planes), label_type(data))
            if values.shape != label.shape[:2]:
                raise DataError(f"{shown(path)}: has another size than {shown(pair.mask)}, a mask of the same image.")
            number = data.classes.index(name)
            here = label[:, :, number] if data.multi_label else label
            here[foreground(mask, values)] = 1 if data.multi_label else number
            here[np.isin(values, data.void_values)] = data.void_id
        return label


def _page(pair: Pair) -> int | None:
    return pair.page if pair.page >= 0 else None
