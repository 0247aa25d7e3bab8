"""Draws annotations: outlines and run lengths, in the same way as each format's own library."""

from __future__ import annotations

import base64
import dataclasses
import importlib.util
import io
import itertools
import zlib
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageDraw

from trainer.data.errors import DataError
from trainer.data.sources.formats.scanlines import fill_polygon

Points = tuple[tuple[float, float], ...]

# No image is larger, and drawing an outline walks along all of it.
_FARTHEST = 1e6


@dataclasses.dataclass(frozen=True)
class Shape:
    """One object over an image.

    class_id: its class, or the void id.
    polygons: its outlines `[(x, y), …]` in pixels; for an ellipse or rectangle (left, top), (right, bottom).
    rle: instead, a run-length mask in COCO's form.
    bitmap: instead, bool `[h, w]` and the position of its corner (left, top); or a function that returns them.
    holes: outlines cut out of it.
    drawn: "coco" like pycocotools; "polygon", "rectangle", "ellipse" like Pillow with an outline; "line" like Pillow,
      `LINE_WIDTH` pixels wide; "cv2" like OpenCV's fillPoly with whole numbers.
    name: its name in the annotation file, for messages.
    """

    class_id: int
    polygons: tuple[Points, ...] = ()
    rle: Any = None
    bitmap: tuple[np.ndarray, int, int] | Callable[[], tuple[np.ndarray, int, int]] | None = None
    holes: tuple[Points, ...] = ()
    drawn: Literal["coco", "polygon", "rectangle", "ellipse", "line", "cv2"] = "coco"
    name: str = ""


def draw(shapes: Sequence[Shape], size: tuple[int, int], dtype: np.dtype, name: str) -> np.ndarray:
    """Class ids `[height, width]` of shapes, the later on top; 0 where there is none.

    Args:
      shapes: in order.
      size: height and width.
      dtype: the result's type.
      name: of the image, for messages.
    Raises:
      DataError: run lengths have another number of pixels, or a bitmap lies outside.
    """
    if shapes and dtype == np.uint8 and all(s.polygons and not s.holes and s.drawn in _BY_PILLOW for s in shapes):
        canvas = Image.new("L", size[::-1])
        brush = ImageDraw.Draw(canvas)
        for shape in shapes:
            _painted(brush, shape.polygons, shape.drawn, shape.class_id)
        return np.array(canvas)
    # COCO's run lengths go down the columns.
    label = np.zeros(size, dtype, order="F" if shapes and _is_coco(shapes[0]) else "C")
    for (coco, class_id), run in itertools.groupby(shapes, lambda shape: (_is_coco(shape), shape.class_id)):
        if coco:
            _lay_coco(label, list(run), class_id, name)
            continue
        for shape in run:
            if shape.bitmap is not None:
                _lay_bitmap(label, shape, f"{name}, {shape.name}")
            elif shape.drawn == "cv2" and shape.holes:
                mask = np.zeros(size, np.uint8)
                for polygons, value in ((shape.polygons, 1), (shape.holes, 0)):
                    for polygon in polygons:
                        fill_polygon(mask, polygon, value)
                label[mask.view(bool)] = class_id
            elif shape.drawn == "cv2":
                for polygon in shape.polygons:
                    fill_polygon(label, polygon, class_id)
            elif shape.polygons:
                label[_mask_by_pillow(shape, size)] = class_id
    return np.ascontiguousarray(label)


_BY_PILLOW = ("polygon", "rectangle", "ellipse", "line")
# Lines have no area of their own; LabelMe draws them like this.
LINE_WIDTH = 10


def has_pycocotools() -> bool:
    """Whether COCO's own library draws; otherwise Pillow does, with other pixels along edges."""
    return importlib.util.find_spec("pycocotools") is not None


def _is_coco(shape: Shape) -> bool:
    return shape.rle is not None or (shape.bitmap is None and shape.drawn == "coco" and not shape.holes)


def _lay_coco(label: np.ndarray, shapes: list[Shape], class_id: int, name: str) -> None:
    """Draws shapes, one class at a time: their union is decoded once, and only its box is written."""
    height, width = label.shape
    try:
        from pycocotools import mask as coco
    except ImportError:
        for shape in shapes:
            if shape.rle is not None:
                label[decode_rle(shape.rle, label.shape, f"{name}, {shape.name}")] = class_id
            else:
                label[_mask_by_pillow(shape, label.shape)] = class_id
        return
    encoded, flat = [], []
    for shape in shapes:
        if shape.rle is not None:
            encoded.append(_checked_rle(shape.rle, label.shape, f"{name}, {shape.name}"))
        else:
            flat += [[number for point in polygon for number in point] for polygon in shape.polygons]
    if flat:
        encoded += coco.frPyObjects(flat, height, width)
    if not encoded:
        return
    merged = coco.merge(encoded) if len(encoded) > 1 else encoded[0]
    left, top, wide, high = map(int, coco.toBbox(merged))
    box = slice(top, top + high), slice(left, left + wide)
    np.copyto(label[box], label.dtype.type(class_id), where=coco.decode(merged)[box].view(bool))


def _lay_bitmap(label: np.ndarray, shape: Shape, name: str) -> None:
    mask, left, top = shape.bitmap() if callable(shape.bitmap) else shape.bitmap
    height, width = label.shape
    if left < 0 or top < 0 or top + mask.shape[0] > height or left + mask.shape[1] > width:
        raise DataError(
            f"{name}: its mask of {mask.shape[1]} x {mask.shape[0]} pixels at ({left}, {top}) is not inside the image "
            f"of {width} x {height}."
        )
    label[top : top + mask.shape[0], left : left + mask.shape[1]][mask] = shape.class_id


def _mask_by_pillow(shape: Shape, size: tuple[int, int]) -> np.ndarray:
    picture = Image.new("1", size[::-1])
    brush = ImageDraw.Draw(picture)
    if shape.drawn == "coco":
        for polygon in shape.polygons:
            brush.polygon([(x - 0.5, y - 0.5) for x, y in polygon], fill=1, outline=0)
    else:
        _painted(brush, shape.polygons, shape.drawn, 1)
    _painted(brush, shape.holes, "polygon", 0)
    return np.asarray(picture)


def _painted(brush: ImageDraw.ImageDraw, polygons: Sequence[Points], drawn: str, value: int) -> None:
    for polygon in polygons:
        if drawn == "line":
            brush.line(list(polygon), fill=value, width=LINE_WIDTH)
        else:
            getattr(brush, drawn)(list(polygon), fill=value, outline=value)


def _checked_rle(rle: Any, size: tuple[int, int], name: str) -> dict:
    """A packed run-length mask, verified for pycocotools, which trusts the numbers and reads beyond its memory."""
    from pycocotools import mask as coco

    counts = rle["counts"]
    if tuple(rle.get("size", size)) != tuple(size):
        raise DataError(f"{name}: its mask is {rle['size']} (height, width), its image {list(size)}.")
    if isinstance(counts, (str, bytes)):
        packed = {"size": list(size), "counts": counts.encode() if isinstance(counts, str) else counts}
        runs = _unpacked(counts)
    else:
        runs = counts = _whole_runs(counts, name)
        packed = None
    _check_runs(runs, size, name)
    return packed or coco.frPyObjects({"size": list(size), "counts": list(counts)}, *size)


def decode_rle(rle: Any, size: tuple[int, int], name: str) -> np.ndarray:
    """A run-length mask of COCO, bool `[height, width]`: runs of 0 and 1 in turn down the columns, plain or packed."""
    counts, height, width = rle["counts"], *size
    if tuple(rle.get("size", size)) != tuple(size):
        raise DataError(f"{name}: its mask is {rle['size']} (height, width), its image {list(size)}.")
    runs = _unpacked(counts) if isinstance(counts, (str, bytes)) else _whole_runs(counts, name)
    _check_runs(runs, size, name)
    values = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return values.reshape(width, height).T


def _whole_runs(counts: Any, name: str) -> list[int]:
    try:
        return [int(count) for count in counts]
    except (TypeError, ValueError) as error:
        raise DataError(f"{name}: its run lengths are no whole numbers. Received: {str(counts)[:60]}") from error


def _check_runs(runs: Sequence[int], size: tuple[int, int], name: str) -> None:
    if sum(runs) != size[0] * size[1] or min(runs, default=0) < 0:
        raise DataError(f"{name}: its run lengths are of {sum(runs)} pixels, and its image has {size[0] * size[1]}.")


def _unpacked(text: str | bytes) -> list[int]:
    """COCO's packed form: 5 bits a character and a bit for more; from the third, minus the one two before."""
    bits = np.frombuffer(text.encode("latin-1", "replace") if isinstance(text, str) else text, np.uint8) - np.uint8(48)
    bits = bits.astype(np.int64)
    ends = np.flatnonzero(~bits.astype(bool) | (bits & 0x20 == 0))
    if not len(ends) or ends[-1] != len(bits) - 1:
        return []
    starts = np.concatenate(([0], ends[:-1] + 1))
    shift = 5 * (np.arange(len(bits)) - np.repeat(starts, ends - starts + 1))
    values = np.add.reduceat((bits & 0x1F) << np.minimum(shift, 50), starts)
    negative = bits[ends] & 0x10 != 0
    values[negative] -= np.int64(1) << np.minimum(5 * (ends - starts + 1)[negative], 55)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values.tolist()


def runs_of_rows(runs: Sequence[int], size: tuple[int, int], name: str) -> np.ndarray:
    """A mask bool `[height, width]` from alternating runs of 0 and 1 along the rows, as CVAT writes it."""
    runs = _whole_runs(runs, name)
    _check_runs(runs, size, name)
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(size)


def points_of(values: Any, name: str, *, least: int = 3) -> Points:
    """A polygon's points from pairs, or from a flat list of numbers.

    Raises:
      DataError: fewer than `least` points, or numbers that are not finite or beyond any image.
    """
    try:
        flat = np.asarray(values, np.float64).ravel()
    except (TypeError, ValueError):
        flat = np.empty(1)
    if flat.size < 2 * least or flat.size % 2 or not np.isfinite(flat).all():
        what = {3: "a polygon is three points", 2: "these are two points", 1: "this is one point"}[least]
        raise DataError(f"{name}: {what} (x, y) or more, of numbers. Received: {str(values)[:60]}")
    if np.abs(flat).max() > _FARTHEST:
        raise DataError(f"{name}: a point lies {np.abs(flat).max():g} pixels from the image's corner.")
    return tuple(map(tuple, flat.reshape(-1, 2).tolist()))


def mask_of_png(text: Any, name: str) -> np.ndarray:
    """A mask bool `[h, w]` from a PNG in base64, perhaps deflated again, in a JSON file."""
    try:
        content = base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text)
        if content[:1] == b"\x78":
            content = zlib.decompress(content)
        picture = np.asarray(Image.open(io.BytesIO(content), formats=["PNG"]))
    except Exception as error:  # A damaged file can make a decoder raise anything.
        raise DataError(f"{name}: its mask does not decode: {error}.") from error
    return (picture if picture.ndim == 2 else picture[:, :, -1]) != 0
