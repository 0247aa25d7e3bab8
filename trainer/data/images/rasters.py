"""Image files for prediction: in memory where they are small, otherwise read by windows, with their coordinates.

A TIFF file of several strips or tiles, classic or BigTIFF, is read by windows through tifffile, or through rasterio,
where it is installed, if tifffile lacks a package for the compression. Coordinates are the tags of a GeoTIFF, or those
found by rasterio, which also knows world files and other side files.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from configs.schema import Data
from trainer.data.errors import DataError, shown
from trainer.data.images import size_limits
from trainer.data.images.decode import converted, read_image
from trainer.data.images.files import open_image
from trainer.data.images.tiff import TiffFacts

# Tags that place a picture on the earth: pixel scale, tie points, transformation, the keys and their values (GeoTIFF
# 1.1, OGC 19-008, section 7), and the coefficients of a rational polynomial.
GEO_TAGS = (33550, 33922, 34264, 34735, 34736, 34737, 50844)
_ORIENTATION = 274
# Photometric interpretations and a compression of TIFF.
_WHITE_IS_0, _PALETTE, _YCBCR, _JPEG = 0, 3, 6, 7
# Files beside an image that may hold its coordinates.
_BESIDE = (".tfw", ".tifw", ".wld", ".prj")


@dataclasses.dataclass(frozen=True)
class Header:
    """What is known about an image file before its pixels are read.

    Attributes:
      path: of the file.
      height, width: of the image, as stored.
      nbytes: of the image decoded.
      facts: those of a TIFF file.
      geo: whether the file has coordinates.
    """

    path: str
    height: int
    width: int
    nbytes: int
    facts: TiffFacts | None = None
    geo: bool = False

    @property
    def pixels(self) -> int:
        return self.height * self.width


@dataclasses.dataclass(frozen=True)
class Raster:
    """An image whose parts can be read.

    Attributes:
      height, width: in pixels.
      read: top, bottom, left, right -> `[rows, columns, channels]`, uint8, or float32 of files with more than 8 bits,
        as `trainer.data.decode_image` returns the whole.
      array: the whole image, where it is in memory.
      tags: the coordinates of a GeoTIFF, as (code, type, count, value).
      crs, transform: the coordinates as read by rasterio, where it is installed.
    """

    height: int
    width: int
    read: Callable[[int, int, int, int], np.ndarray]
    array: np.ndarray | None = None
    tags: Sequence[tuple] = ()
    crs: Any = None
    transform: Any = None

    @property
    def geo(self) -> bool:
        return bool(self.tags) or self.crs is not None or self.transform is not None


def header(path: str, data: Data, by_windows_above: int) -> Header:
    """Reads a file's header, and refuses a file that is not an image, or claims more pixels than its length allows.

    Args:
      path: of the file.
      data: the config's section.
      by_windows_above: decoded bytes above which a TIFF file is not read into memory whole.

    Raises:
      DataError: with the file's name, and what to do.
    """
    opened = open_image(path, sys.maxsize, header=True)
    try:
        facts, length = opened.tiff, opened.stream.seek(0, os.SEEK_END)
    finally:
        opened.stream.close()
    width, height = (facts.width, facts.height) if facts is not None else opened.picture.size
    deep = 4 if data.value_range and facts is not None and facts.bits > 8 else 1
    nbytes = width * height * max(data.channels, 1) * deep
    windows = facts is not None and nbytes > by_windows_above
    depth = facts.bits * facts.bands if facts is not None else 8 * len(opened.picture.getbands())
    wrong = size_limits.trouble(width, height, depth, length, data.max_pixels, by_windows=windows)
    if wrong:
        raise DataError(f"{shown(path)}: {wrong}")
    geo = facts is not None and (facts.geo or any(os.path.exists(os.path.splitext(path)[0] + end) for end in _BESIDE))
    return Header(path, height, width, nbytes, facts, geo)


def has_rasterio() -> bool:
    return importlib.util.find_spec("rasterio") is not None


@contextlib.contextmanager
def open_raster(found: Header, data: Data, by_windows_above: int) -> Iterator[Raster]:
    """Opens an image to read from; its file is closed at the end.

    Args:
      found: the result of `header`.
      data, by_windows_above: as there.

    Raises:
      DataError: unreadable, damaged, in one piece that does not fit in memory; names the file.
    """
    large = found.facts is not None and found.nbytes > by_windows_above
    if not large:
        relaxed = dataclasses.replace(data, max_pixels=max(data.max_pixels, found.pixels))
        array = read_image(found.path, relaxed)

        def part(top, bottom, left, right):
            return array[top:bottom, left:right]

        raster = Raster(*array.shape[:2], part, array)
        yield dataclasses.replace(raster, **_coordinates(found)) if found.geo else raster
        return
    about = _coordinates(found) if found.geo else {}
    with contextlib.ExitStack() as stack:
        try:
            raster = stack.enter_context(_through_tifffile(found, data))
            raster.read(0, 1, 0, raster.width)
        except DataError:
            if not has_rasterio() or importlib.util.find_spec("imagecodecs") is not None:
                raise
            raster = stack.enter_context(_through_rasterio(found, data))
        yield dataclasses.replace(raster, **about)


def _coordinates(found: Header) -> dict[str, Any]:
    """The image's place on the earth, as fields of a `Raster`."""
    if has_rasterio():
        import rasterio

        with _as_data_error(found.path), rasterio.open(found.path) as file:
            return {"crs": file.crs, "transform": file.transform}
    tifffile = _tifffile(found.path)
    with _as_data_error(found.path), tifffile.TiffFile(found.path) as file:
        return {"tags": _geo_tags(file.pages[0])}


def _geo_tags(page) -> tuple[tuple, ...]:
    tags = [page.tags.get(code) for code in GEO_TAGS]
    return tuple((tag.code, int(tag.dtype), tag.count, tag.value) for tag in tags if tag is not None)


def _tifffile(path: str):
    try:
        import tifffile
    except ImportError as error:
        raise DataError(
            f"{shown(path)}: large TIFF files, and GeoTIFF files, are read by tifffile (Python 3.11 and later):\n"
            "  pip install tifffile imagecodecs"
        ) from error
    return tifffile


@contextlib.contextmanager
def _as_data_error(path: str) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # A damaged file, or a compression whose package is missing: it says which.
        hint = ""
        if "imagecodecs" in str(error):
            hint = "\n  pip install imagecodecs"
        raise DataError(f"{shown(path)}: does not decode: {str(error).strip().rstrip('.')}.{hint}") from error


@contextlib.contextmanager
def _through_rasterio(found: Header, data: Data) -> Iterator[Raster]:
    import rasterio
    from rasterio.windows import Window

    with _as_data_error(found.path):
        file = rasterio.open(found.path)
    with file:

        def read(top, bottom, left, right):
            with _as_data_error(found.path):
                part = file.read(window=Window(left, top, right - left, bottom - top))
            return converted(np.moveaxis(part, 0, -1), found.facts, data, shown(found.path))

        yield Raster(file.height, file.width, read)


@contextlib.contextmanager
def _through_tifffile(found: Header, data: Data) -> Iterator[Raster]:
    tifffile = _tifffile(found.path)
    with _as_data_error(found.path):
        file = tifffile.TiffFile(found.path)
    with file:
        pages = _pages(file, found, data)
        for page in pages:
            _check_windows(page, found)
        windows = [_Windows(page) for page in pages]

        def read(top, bottom, left, right):
            with _as_data_error(found.path):
                parts = [window.rows(top, bottom)[:, left:right] for window in windows]
            part = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)
            return converted(part, found.facts, data, shown(found.path))

        yield Raster(found.height, found.width, read)


def _pages(file, found: Header, data: Data) -> list:
    """The pages of one image, without those of lower resolution in a pyramid."""
    pages = [page for page in file.pages if not page.is_reduced and not page.is_mask]
    if len(pages) > 1 and data.pages not in ("first", "channels"):
        raise DataError(
            f"{shown(found.path)}: has {len(pages)} pages. If they are channels of one image: "
            "--config.data.pages=channels; to take the first alone: --config.data.pages=first; slices have to be saved "
            "as files of their own."
        )
    return pages if data.pages == "channels" else pages[:1]


def _check_windows(page, found: Header) -> None:
    where = shown(found.path)
    orientation = page.tags.get(_ORIENTATION)
    if orientation is not None and orientation.value != 1:
        raise DataError(
            f"{where}: is stored turned (orientation {int(orientation.value)}), and is too large to be turned in "
            "memory. Save it upright."
        )
    if found.facts.printed and not (page.photometric == _YCBCR and page.compression == _JPEG):
        raise DataError(
            f"{where}: is of other colours than red, green and blue ({page.photometric.name}). Save it as RGB."
        )
    rows = page.tilelength if page.is_tiled else min(page.rowsperstrip or page.imagelength, page.imagelength)
    piece = rows * page.imagewidth * page.samplesperpixel * page.dtype.itemsize
    memory = size_limits.available_memory()
    if rows >= page.imagelength and page.compression != 1 and memory is not None and 2 * piece > memory:
        raise DataError(
            f"{where}: {found.width} x {found.height} pixels are compressed in one piece of {piece / 2**30:.1f} GiB, "
            f"and {memory / 2**30:.1f} GiB of memory are free. Save it in tiles, as `gdal_translate -co TILED=YES -co "
            "COMPRESS=DEFLATE` does."
        )
    end = max((at + count for at, count in zip(page.dataoffsets, page.databytecounts, strict=True)), default=0)
    length = page.parent.filehandle.size
    if end > length:
        raise DataError(f"{where}: the file is truncated: {end - length:,} bytes are missing.")


class _Windows:
    """Rows of a page of a TIFF file; the last decoded part is kept, since rows are read in order."""

    def __init__(self, page):
        self._page, self._file = page, page.parent.filehandle
        self._high = page.tilelength if page.is_tiled else min(page.rowsperstrip or page.imagelength, page.imagelength)
        self._wide = page.tilewidth if page.is_tiled else page.imagewidth
        self._across = -(-page.imagewidth // self._wide)
        self._down = -(-page.imagelength // self._high)
        self._planes = page.samplesperpixel if page.planarconfig == 2 else 1
        self._options = {"_fullsize": page.is_tiled}
        if page.compression in (6, 7, 34892, 33007):  # JPEG keeps its tables in a tag
            self._options |= {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader}
        self._kept: dict[int, np.ndarray] = {}

    def rows(self, top: int, bottom: int) -> np.ndarray:
        """`[bottom - top, width, samples]`: palettes as colours, and white as the highest value."""
        values, page = self._stored(top, bottom), self._page
        if page.photometric == _PALETTE and page.colormap is not None:
            return (page.colormap >> 8).astype(np.uint8).T[values[:, :, 0]]
        return ~values if page.photometric == _WHITE_IS_0 and values.dtype in (np.bool_, np.uint8) else values

    def _stored(self, top: int, bottom: int) -> np.ndarray:
        if self._page.compression == 1 and not self._page.is_tiled and self._down == 1 and self._planes == 1:
            return self._plain(top, bottom)
        first, last = top // self._high, (bottom - 1) // self._high
        self._kept = {row: strip for row, strip in self._kept.items() if first <= row <= last}
        for row in range(first, last + 1):
            if row not in self._kept:
                self._kept[row] = self._decoded(row)
        strips = [self._kept[row] for row in range(first, last + 1)]
        if len(strips) == 1:
            return strips[0][top - first * self._high : bottom - first * self._high]
        # Only the requested part is copied.
        parts = [strips[0][top - first * self._high :], *strips[1:-1], strips[-1][: bottom - last * self._high]]
        return np.concatenate(parts)

    def _plain(self, top: int, bottom: int) -> np.ndarray:
        """Reads a page that is one uncompressed piece, of any length."""
        page = self._page
        shape = (bottom - top, page.imagewidth, page.samplesperpixel)
        line = page.imagewidth * page.samplesperpixel * page.dtype.itemsize
        self._file.seek(page.dataoffsets[0] + top * line)
        array = np.frombuffer(self._file.read((bottom - top) * line), page.parent.byteorder + page.dtype.char)
        return array.reshape(shape).astype(page.dtype, copy=False)

    def _decoded(self, row: int) -> np.ndarray:
        """A row of strips or tiles: `[rows, width, samples]`."""
        page = self._page
        high = min(self._high, page.imagelength - row * self._high)
        made = np.zeros([high, page.imagewidth, page.samplesperpixel], page.dtype)
        for plane in range(self._planes):
            bands = slice(None) if self._planes == 1 else slice(plane, plane + 1)
            for column in range(self._across):
                index = (plane * self._down + row) * self._across + column
                count = page.databytecounts[index]
                if not count:
                    continue  # a sparse file stores nothing for empty parts
                self._file.seek(page.dataoffsets[index])
                part, _, _ = page.decode(self._file.read(count), index, **self._options)
                if part is None:
                    continue
                part = part.reshape(part.shape[-3:])[:high]
                left = column * self._wide
                part = part[:, : page.imagewidth - left]
                made[: len(part), left : left + part.shape[1], bands] = part
        return made
