"""TIFF files of any number of bands, bits and pages: facts from their headers, and pixels that Pillow cannot read."""

from __future__ import annotations

import dataclasses
import io
import struct
from typing import BinaryIO

import numpy as np

from trainer.data.errors import DataError

_TYPES = {1: "B", 3: "H", 4: "I", 16: "Q"}
_MOST_PAGES = 100_000
# ModelPixelScale, ModelTiepoint, ModelTransformation, GeoKeyDirectory.
_GEO_KEYS = (33550, 33922, 34264, 34735)


@dataclasses.dataclass(frozen=True)
class TiffFacts:
    """Facts from the first page's header, and the number of pages.

    alpha: whether the last band is declared as alpha.
    printed: whether the bands are other colours than red, green and blue: CMYK, YCbCr, CIELab.
    pages: without those of lower resolution in a pyramid, and without masks of pages.
    geo: whether it has the tags that place it on the earth.
    kind: "u" whole numbers from 0, "i" whole numbers, "f" fractions.
    """

    width: int
    height: int
    bands: int
    bits: int
    kind: str
    alpha: bool
    pages: int
    printed: bool = False
    geo: bool = False

    @property
    def plain(self) -> bool:
        """Whether Pillow reads it unchanged: grey of any depth, or colour of 8 bits, perhaps with a declared alpha."""
        return self.printed or self.bands == 1 or (self.bits == 8 and (self.bands - self.alpha) in (1, 3))


def tiff_facts(stream: BinaryIO) -> TiffFacts | None:
    """The facts of a TIFF file; None for another or damaged file. The stream is put back to its start."""
    try:
        stream.seek(0)
        return _facts(stream)
    except (struct.error, KeyError, IndexError, OSError, OverflowError, ValueError):
        return None
    finally:
        stream.seek(0)


def _facts(stream: BinaryIO) -> TiffFacts | None:
    order = {b"II": "<", b"MM": ">"}.get(stream.read(2))
    if order is None:
        return None
    (version,) = struct.unpack(order + "H", stream.read(2))
    if version not in (42, 43):
        return None
    big = version == 43
    stream.seek(8 if big else 4)
    word, count_format = ("Q", "Q") if big else ("I", "H")

    def read(form: str):
        return struct.unpack(order + form, stream.read(struct.calcsize(order + form)))

    (at,) = read(word)
    tags, pages, seen, geo = {}, 0, 0, False
    while at and seen < _MOST_PAGES:
        stream.seek(at)
        (entries,) = read(count_format)
        start = stream.tell()
        size = 20 if big else 12
        if not seen:
            for number in range(entries):
                stream.seek(start + number * size)
                tag, kind, count = read("HH" + word)
                geo = geo or tag in _GEO_KEYS
                form = _TYPES.get(kind)
                if form and tag in (256, 257, 258, 262, 277, 338, 339):
                    if struct.calcsize(form) * count > (8 if big else 4):
                        stream.seek(read(word)[0])
                    tags[tag] = read(form * count)
        pages += 1 if not seen else not _beside_another(stream, start, entries, size, order)
        seen += 1
        stream.seek(start + entries * size)
        (at,) = read(word)
    extra = tags.get(338, ())
    kind = {2: "i", 3: "f"}.get(tags.get(339, (1,))[0], "u")
    return TiffFacts(
        tags[256][0],
        tags[257][0],
        tags.get(277, (1,))[0],
        tags.get(258, (1,))[0],
        kind,
        bool(extra) and extra[-1] in (1, 2),
        pages,
        tags.get(262, (1,))[0] in (5, 6, 8, 9),
        geo,
    )


def _beside_another(stream: BinaryIO, start: int, entries: int, size: int, order: str) -> bool:
    """Whether a page is another page at lower resolution, or the mask of another: bits 0 and 2 of NewSubfileType."""
    for number in range(entries):
        stream.seek(start + number * size)
        tag, kind = struct.unpack(order + "HH", stream.read(4))
        if tag == 254 and kind in (3, 4):
            stream.seek(start + number * size + (12 if size == 20 else 8))
            (value,) = struct.unpack(order + _TYPES[kind], stream.read(2 if kind == 3 else 4))
            return bool(value & 0b101)
        if tag > 254:
            return False  # they are in order
    return False


def read_tiff(content: bytes, name: str, page: int = 0) -> np.ndarray:
    """The pixels of one page, all bands: `[height, width, bands]` in the file's own type.

    Raises:
      DataError: tifffile is not installed, or the file does not decode.
    """
    try:
        import tifffile
    except ImportError as error:
        raise DataError(
            f"{name}: TIFF files with several bands of more than 8 bits, or with 2 or more than 4 bands, are read by "
            "tifffile:\n  pip install tifffile imagecodecs"
        ) from error
    try:
        with tifffile.TiffFile(io.BytesIO(content)) as file:
            read = file.pages[page]
            array = read.asarray()
            planar = read.planarconfig == 2 and array.ndim == 3
    except MemoryError:
        raise
    except Exception as error:  # A damaged file, or a compression whose package is missing: it says which.
        raise DataError(f"{name}: does not decode: {error}.") from error
    array = np.moveaxis(array, 0, -1) if planar else array
    return array[:, :, None] if array.ndim == 2 else array
