"""Pages of TIFF files as slices: each page of an image with the same page of its mask is an example."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence

from configs.schema import Data
from trainer.data.errors import DataError, shown
from trainer.data.images.files import open_image
from trainer.data.sources.pairs import Listing, Pair


def of_listing(root: str, listing: Listing, data: Data) -> tuple[Listing, list[str]]:
    """The listing with a pair for each page, and the files' problems; the pages of a file stay in one split."""
    problems: list[str] = []
    parts = {
        split: tuple(_pages_of(root, getattr(listing, split), data, problems))
        for split in ("train", "validation", "test")
    }
    files, pages = (sum(map(len, each)) for each in ([listing.train, listing.validation], list(parts.values())[:2]))
    note = f"the pages of TIFF files are slices: {pages} of {files} files"
    return dataclasses.replace(listing, **parts, notes=(*listing.notes, note)), problems


def _pages_of(root: str, pairs: Sequence[Pair], data: Data, problems: list[str]):
    for pair in pairs:
        try:
            image, mask = (_count(os.path.join(root, path), data) for path in (pair.image, pair.mask))
        except DataError:
            yield pair  # It is reported when its header is checked or it is read.
            continue
        if image != mask:
            problems.append(
                f"{shown(os.path.join(root, pair.mask))}: has {mask} pages, and its image {shown(pair.image)} {image}: "
                "slices have a page of the mask for each page of the image."
            )
        elif image == 1:
            yield pair
        else:
            yield from (dataclasses.replace(pair, page=page) for page in range(image))


def _count(path: str, data: Data) -> int:
    opened = open_image(path, data.max_pixels, header=True)
    opened.stream.close()
    return opened.tiff.pages if opened.tiff is not None else 1
