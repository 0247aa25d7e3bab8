"""Annotations drawn over images: outlines and run lengths, of COCO and LabelMe; the later lies on top."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import os
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from configs.schema import Data
from trainer.data.decode import bands_of, deep_values, read_image
from trainer.data.errors import DataError, shown
from trainer.data.example import Example
from trainer.data.masks import label_type


@dataclasses.dataclass(frozen=True)
class Shape:
    """One object: a class id, and its polygons `[(x, y), …]`, or a run-length mask as COCO has it.

    name: what the annotation file calls it, for messages.
    outlined: the outline's pixels belong to it, as LabelMe draws it; else drawn as COCO does.
    """

    class_id: int
    polygons: tuple[tuple[tuple[float, float], ...], ...] = ()
    rle: Any = None
    name: str = ""
    outlined: bool = False


@dataclasses.dataclass(frozen=True)
class Drawing:
    """An image with the objects over it. size: (height, width) as the annotation says; None where it does not."""

    image: str
    shapes: tuple[Shape, ...]
    size: tuple[int, int] | None = None
    name: str = ""


class DrawnReader:
    """Reads images with labels that are drawn from shapes; what no shape covers is class 0."""

    def __init__(self, root: str, drawings: Sequence[Drawing], data: Data):
        self.root = root
        self.drawings = tuple(drawings)
        self.names = tuple(shown(drawing.name or drawing.image) for drawing in drawings)
        self._data = data

    def reading(self, data: Data) -> DrawnReader:
        """The same drawings, read as another section says."""
        return DrawnReader(self.root, self.drawings, data)

    def deep_values(self, index: int) -> np.ndarray | None:
        """As `FilePairs.deep_values`."""
        return deep_values(os.path.join(self.root, self.drawings[index].image), self._data)

    def bands(self, index: int) -> int:
        """As `FilePairs.bands`."""
        return bands_of(os.path.join(self.root, self.drawings[index].image), self._data)

    def __call__(self, index: int) -> Example:
        drawing, path = self.drawings[index], os.path.join(self.root, self.drawings[index].image)
        # Annotations are drawn over the pixels as they are stored, so a tag that turns them is not followed.
        image = read_image(path, self._data, upright=False)
        height, width = image.shape[:2]
        if drawing.size is not None and tuple(drawing.size) != (height, width):
            raise DataError(
                f"{shown(path)}: is {width} x {height} pixels (width x height), and its annotations are for "
                f"{drawing.size[1]} x {drawing.size[0]}."
            )
        label = draw(drawing.shapes, (height, width), label_type(self._data), shown(path))
        return Example(image, label, self.names[index])


def draw(shapes: Sequence[Shape], size: tuple[int, int], dtype: np.dtype, name: str) -> np.ndarray:
    """Class ids `[height, width]` of shapes, the later on top."""
    label = np.zeros(size, dtype)
    for shape in shapes:
        if shape.rle is not None:
            label[decode_rle(shape.rle, size, f"{name}, {shape.name}")] = shape.class_id
        elif shape.polygons:
            label[_filled(shape.polygons, size, shape.outlined)] = shape.class_id
    return label


def _filled(polygons, size: tuple[int, int], outlined: bool) -> np.ndarray:
    """Pixels inside polygons, as the library that owns the format draws them."""
    height, width = size
    if outlined:
        picture = Image.new("1", (width, height))
        for polygon in polygons:
            ImageDraw.Draw(picture).polygon(list(polygon), fill=1, outline=1)
        return np.asarray(picture)
    try:
        from pycocotools import mask as coco
    except ImportError:
        picture = Image.new("1", (width, height))
        for polygon in polygons:
            ImageDraw.Draw(picture).polygon([(x - 0.5, y - 0.5) for x, y in polygon], fill=1, outline=0)
        return np.asarray(picture)
    flat = [[number for point in polygon for number in point] for polygon in polygons]
    return coco.decode(coco.merge(coco.frPyObjects(flat, height, width))).astype(bool)


def decode_rle(rle: Any, size: tuple[int, int], name: str) -> np.ndarray:
    """A run-length mask of COCO, bool `[height, width]`: runs of 0 and 1 in turn down the columns, plain or packed."""
    counts, height, width = rle["counts"], *size
    if tuple(rle.get("size", size)) != tuple(size):
        raise DataError(f"{name}: its mask is {rle['size']} (height, width), its image {list(size)}.")
    runs = _unpacked(counts) if isinstance(counts, (str, bytes)) else [int(count) for count in counts]
    if sum(runs) != height * width or any(run < 0 for run in runs):
        raise DataError(f"{name}: its run lengths are of {sum(runs)} pixels, and its image has {height * width}.")
    values = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return values.reshape(width, height).T


def _unpacked(text: str | bytes) -> list[int]:
    """COCO's packed form: 6 bits a character, differences to the run before the last from the third on."""
    data = text.encode() if isinstance(text, str) else text
    runs: list[int] = []
    at = 0
    while at < len(data):
        value, shift, more = 0, 0, True
        while more and at < len(data):
            bits = data[at] - 48
            value |= (bits & 0x1F) << (5 * shift)
            more = bool(bits & 0x20)
            at += 1
            shift += 1
            if not more and bits & 0x10:
                value |= -1 << (5 * shift)
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
    return runs


def read_json(path: str) -> Any:
    """The content of a JSON file.

    Raises:
      DataError: it cannot be read, or is no JSON; names the line.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            return json.load(file)
    except OSError as error:
        raise DataError(f"{shown(path)}: cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{shown(path)}: is not text in UTF-8 (byte {error.start}).") from error
    except (json.JSONDecodeError, RecursionError) as error:
        where = f"line {error.lineno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else "nested too deeply"
        raise DataError(f"{shown(path)}: is not JSON: {where}.") from error


def points_of(values: Any, name: str) -> tuple[tuple[float, float], ...]:
    """A polygon's points from pairs, or from numbers in a row.

    Raises:
      DataError: fewer than three points, or no finite numbers.
    """
    try:
        flat = np.asarray(values, np.float64).ravel()
    except (TypeError, ValueError):
        flat = np.empty(1)
    if flat.size < 6 or flat.size % 2 or not np.isfinite(flat).all():
        raise DataError(f"{name}: a polygon is three points (x, y) or more, of numbers. Received: {str(values)[:60]}")
    return tuple(map(tuple, flat.reshape(-1, 2).tolist()))


def mask_of_png(text: str, name: str) -> np.ndarray:
    """A mask that LabelMe keeps inside its JSON, as a PNG in base64."""
    try:
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))) != 0
    except (ValueError, OSError, zlib.error) as error:
        raise DataError(f"{name}: its mask does not decode: {error}.") from error
