"""GeoTIFF: pairs of files with their place on earth, and with values that mean no data.

A mask that lies elsewhere than its image is a fault. Pixels of an image without data are void. A mask's own value for
no data is void, too, unless it is 0, which is reported. Class names are those of the raster's categories, in
MASK.tif.aux.xml. rasterio reads the tags where it is installed, tifffile otherwise.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from configs.schema import Data
from trainer.data.errors import DataError, shown
from trainer.data.example import Example
from trainer.data.images.decode import deep_values, read_image, scaled_values
from trainer.data.sources.agreement import read_both
from trainer.data.sources.formats.descriptions import read_xml
from trainer.data.sources.pairs import FilePairs, Pair

_SUFFIXES = (".tif", ".tiff", ".gtif", ".gtiff")
# About 0.5 ms a file; the rest is checked in training.
_MOST_PLACED = 1000
# GDAL writes corners with rounding.
_SHARE_OF_A_PIXEL = 0.01


@dataclasses.dataclass(frozen=True)
class Place:
    """The facts in a file's tags.

    origin: x and y of the upper left corner; pixel: width and height of a pixel, in the units of the system; None where
      unknown, or if the file is rotated.
    system: the coordinate system, as text that is equal for equal systems; "" if unknown.
    nodata: the value of pixels without data; None where there is none.
    """

    origin: tuple[float, float] | None
    pixel: tuple[float, float] | None
    system: str
    nodata: float | None


def place_of(path: str) -> Place | None:
    """The place of a GeoTIFF file; None for any other, or if no package that reads tags is installed."""
    if os.path.splitext(path)[1].lower() not in _SUFFIXES:
        return None
    try:
        return _by_rasterio(path) if _has_rasterio() else _by_tifffile(path)
    except Exception:  # A damaged file can make a reader raise anything: it is reported when decoded.
        return None


def _has_rasterio() -> bool:
    return importlib.util.find_spec("rasterio") is not None


def _by_rasterio(path: str) -> Place | None:
    import logging
    import warnings

    import rasterio

    logging.getLogger("rasterio").setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(path) as file:
            at, system = file.transform, file.crs.to_string() if file.crs else ""
            placed = not at.is_identity and not at.b and not at.d
            if not placed and not system and file.nodata is None:
                return None
            return Place((at.c, at.f) if placed else None, (at.a, -at.e) if placed else None, system, file.nodata)


def _by_tifffile(path: str) -> Place | None:
    try:
        import tifffile
    except ImportError:
        return None
    with tifffile.TiffFile(path) as file:
        tags = file.pages[0].tags
        scale, tie = (tags[code].value if code in tags else None for code in (33550, 33922))
        keys = tags[34735].value if 34735 in tags else ()
        text = tags[42113].value if 42113 in tags else None
    if scale is None and not keys and text is None:
        return None
    try:
        nodata = float(str(text).strip(" \0")) if text is not None else None
    except ValueError:
        nodata = None
    if scale is None or tie is None:
        return Place(None, None, str(tuple(keys)), nodata)
    origin = tie[3] - tie[0] * scale[0], tie[4] + tie[1] * scale[1]
    return Place(origin, (scale[0], scale[1]), _system(keys), nodata)


def _system(keys: Sequence[int]) -> str:
    """EPSG codes among the keys of a GeoTIFF file, or all of them."""
    rows = [tuple(keys[at : at + 4]) for at in range(4, len(keys), 4)]
    codes = [f"EPSG:{row[3]}" for row in rows if row[0] in (3072, 2048) and row[3] != 32767]
    return codes[-1] if codes else str(rows)


class GeoPairs(FilePairs):
    """Pairs whose images may have pixels without data, which are void."""

    def __init__(self, root: str, pairs: Sequence[Pair], data: Data):
        super().__init__(root, pairs, data)
        self._section = data

    def reading(self, data: Data) -> GeoPairs:
        """The same pairs, read with another data section."""
        return GeoPairs(self.root, self.pairs, data)

    def deep_values(self, index: int) -> np.ndarray | None:
        """As `FilePairs.deep_values`; pixels without data are not finite."""
        path = os.path.join(self.root, self.pairs[index].image)
        values, place = super().deep_values(index), place_of(path)
        if values is None or place is None or place.nodata is None:
            return values
        return np.where(_empty(values, place.nodata)[:, :, None], np.nan, values.astype(np.float32))

    def __call__(self, index: int) -> Example:
        pair, data = self.pairs[index], self._section
        image_path, mask_path = os.path.join(self.root, pair.image), os.path.join(self.root, pair.mask)
        place = place_of(image_path)
        if place is None or place.nodata is None:
            return super().__call__(index)
        empty: list[np.ndarray] = []

        def image() -> np.ndarray:
            deep = deep_values(image_path, data)
            if deep is None:
                made = read_image(image_path, data)
                empty.append(_empty(made, place.nodata))
                return made
            empty.append(_empty(deep, place.nodata))
            rows = data.value_range or ((0.0, 65535.0),)
            filled = np.where(empty[0][:, :, None], np.float32(rows[0][0]), deep.astype(np.float32))
            return scaled_values(filled, data.channels, rows, shown(image_path))

        example = read_both(pair.name, image_path, image, mask_path, lambda: self._label(pair))
        label = example.label.copy()
        label[empty[0]] = data.void_id
        return dataclasses.replace(example, label=label)


def _empty(values: np.ndarray, nodata: float) -> np.ndarray:
    """Pixels whose bands all have the value for no data, bool `[height, width]`."""
    same = np.isnan(values) if math.isnan(nodata) and values.dtype.kind == "f" else values == nodata
    return same.all(axis=2)


def look(root: str, pairs: Sequence[Pair], data: Data) -> tuple[type[FilePairs], dict[str, Any], list[str], list[str]]:
    """The reader of pairs, fields, problems and notes: this module's for GeoTIFF files, otherwise nothing new."""
    first = next((place_of(os.path.join(root, path)) for pair in pairs[:1] for path in (pair.image, pair.mask)), None)
    if first is None:
        return FilePairs, {}, [], []
    with ThreadPoolExecutor(4) as pool:
        chosen = pairs[:_MOST_PLACED]
        images = list(pool.map(lambda pair: place_of(os.path.join(root, pair.image)), chosen))
        masks = list(pool.map(lambda pair: place_of(os.path.join(root, pair.mask)), chosen))
    problems = [
        text
        for pair, image, mask in zip(chosen, images, masks, strict=True)
        if (text := _elsewhere(root, pair, image, mask))
    ]
    reader = "rasterio" if _has_rasterio() else "tifffile (GDAL reads them with: pip install rasterio)"
    notes = [
        f"recognised: GeoTIFF files{f' in {first.system}' if first.system else ''}; their tags are read by {reader}"
    ]
    if any(place is not None and place.nodata is not None for place in images):
        values = sorted({place.nodata for place in images if place is not None and place.nodata is not None}, key=str)
        notes.append(f"pixels of images without data ({', '.join(f'{v:g}' for v in values[:4])}) are void")
    fields: dict[str, Any] = {}
    declared = sorted({place.nodata for place in masks if place is not None and place.nodata is not None}, key=str)
    whole = [int(value) for value in declared if float(value).is_integer() and -1 <= value <= 65535]
    more = [value for value in whole if value and value not in (*data.void_values, data.void_id)]
    if more:
        fields["void_values"] = (*data.void_values, *more)
        notes.append(f"{', '.join(map(str, more))} in masks is no data, and void")
    if 0 in whole:
        notes.append("masks declare 0 as no data; it is read as class 0: --config.data.void_values=0 makes it void")
    names = [] if data.classes else _categories(os.path.join(root, pairs[0].mask))
    if names:
        fields["classes"] = tuple(names)
        notes.append(f"classes of {shown(pairs[0].mask)}.aux.xml")
    return GeoPairs, fields, problems, notes


def _elsewhere(root: str, pair: Pair, image: Place | None, mask: Place | None) -> str:
    if image is None or mask is None:
        return ""
    at = f"{shown(os.path.join(root, pair.mask))}: the mask"
    if image.system and mask.system and image.system != mask.system:
        return f"{at} is in {mask.system}, and its image in {image.system}."
    if image.origin is None or mask.origin is None:
        return ""
    slack = _SHARE_OF_A_PIXEL * max(map(abs, image.pixel))
    if any(abs(a - b) > slack for a, b in zip(image.origin, mask.origin, strict=True)):
        return f"{at} lies elsewhere: its corner is {_numbers(mask.origin)}, its image's {_numbers(image.origin)}."
    if any(abs(a - b) > slack for a, b in zip(image.pixel, mask.pixel, strict=True)):
        return f"{at} has pixels of {_numbers(mask.pixel)}, and its image of {_numbers(image.pixel)}."
    return ""


def _numbers(pair: tuple[float, float]) -> str:
    return f"({pair[0]:.10g}, {pair[1]:.10g})"


def _categories(path: str) -> list[str]:
    """The names of a raster's values, from the file that GDAL writes beside it; empty if there is none."""
    beside = path + ".aux.xml"
    if not os.path.isfile(beside):
        return []
    try:
        return [node.text or "" for node in read_xml(beside).iter("Category")]
    except DataError:
        return []  # It also holds statistics, which are not needed here.
