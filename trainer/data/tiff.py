"""TIFF files of any number of bands, bits and pages: what their headers say, and pixels that Pillow does not read."""

from __future__ import annotations

import dataclasses
import io
import struct
from typing import BinaryIO

import numpy as np

from trainer.data.errors import DataError

_TYPES = {1: "B", 3: "H", 4: "I", 16: "Q"}
_MOST_PAGES = 100_000


@dataclasses.dataclass(frozen=True)
class TiffFacts:
    """What the first page's header says, and how many pages there are.

    alpha: the last band is declared to be one.
    printed: the bands are not red, green and blue but other colours: CMYK, YCbCr, CIELab.
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

    @property
    def plain(self) -> bool:
        """Whether Pillow reads it as it is: grey of any depth, or colour of 8 bits, perhaps with a declared alpha."""
        return self.printed or self.bands == 1 or (self.bits == 8 and (self.bands - self.alpha) in (1, 3))


def tiff_facts(stream: BinaryIO) -> TiffFacts | None:
    """The facts of a TIFF file; None where it is none or damaged. The stream is put back to its start."""
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
    tags, pages = {}, 0
    while at and pages < _MOST_PAGES:
        stream.seek(at)
        (entries,) = read(count_format)
        start = stream.tell()
        size = 20 if big else 12
        if not pages:
            for number in range(entries):
                stream.seek(start + number * size)
                tag, kind, count = read("HH" + word)
                form = _TYPES.get(kind)
                if form and tag in (256, 257, 258, 262, 277, 338, 339):
                    if struct.calcsize(form) * count > (8 if big else 4):
                        stream.seek(read(word)[0])
                    tags[tag] = read(form * count)
        pages += 1
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
    )


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
