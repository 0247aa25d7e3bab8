"""Opens image files: format by their bytes, size, orientation, and whether they are complete.

Bytes decide the format, never the name.
"""

from __future__ import annotations

import dataclasses
import io
import os
import struct
import zlib
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageOps

from trainer.data.errors import DataError, shown
from trainer.data.images import size_limits
from trainer.data.images.tiff import TiffFacts, tiff_facts

# The formats tried. A closed list: other plug-ins of Pillow start programs (EPS starts Ghostscript).
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")

# Suffixes of the files taken from a folder, whatever the case; bytes decide the format.
IMAGE_SUFFIXES = tuple(".png .jpg .jpeg .jpe .jfif .bmp .dib .gif .tif .tiff .webp .ppm .pgm .pbm .pnm .apng".split())

# Modes whose values are brightness in more than 8 bits.
SIXTEEN_BITS = ("I;16", "I;16B", "I;16L", "I;16N")

_SIGNATURE_BYTES = 64

# Pillow's own limit is global, lower than some aerial images and only warns; max_pixels is checked before decoding.
Image.MAX_IMAGE_PIXELS = None


@dataclasses.dataclass(frozen=True)
class Opened:
    """A file whose header has been read: size, mode and format are known, no pixel is decoded.

    content: the file, or its first bytes where only the header was read.
    stream: the source of the picture's bytes.
    tiff: facts from the header of a TIFF file.
    """

    picture: Image.Image
    content: bytes
    name: str
    stream: BinaryIO
    tiff: TiffFacts | None = None


def open_image(source: str | os.PathLike | bytes, max_pixels: int, *, name: str = "", header: bool = False) -> Opened:
    """Reads a file and its header.

    Args:
      source, max_pixels, name: as in `decode_image`.
      header: leave the rest of a file unread; the caller closes the stream.
    Raises:
      DataError: no such file, empty, not an image, or more than `max_pixels`.
    """
    name = name or ("an image" if isinstance(source, bytes) else shown(source))
    try:
        stream = _stream(source, header)
        content = stream.read(_SIGNATURE_BYTES if header else -1)
        length = stream.seek(0, os.SEEK_END)
        stream.seek(0)
    except OSError as error:
        raise DataError(f"{name}: cannot be read: {error.strerror or error}.") from error
    try:
        facts = tiff_facts(stream) if content[:2] in (b"II", b"MM") else None
        if facts is not None and not facts.plain and facts.width and facts.height:
            _check_size((facts.width, facts.height), facts.bits * facts.bands, length, name, max_pixels)
            return Opened(Image.new("L", (facts.width, facts.height)), content, name, stream, facts)
        return Opened(_identified(stream, content, length, name, max_pixels), content, name, stream, facts)
    except BaseException:
        stream.close()
        raise


def _stream(source: str | os.PathLike | bytes, header: bool) -> BinaryIO:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    if header:
        return open(source, "rb")
    with open(source, "rb") as file:
        return io.BytesIO(file.read())


def _identified(stream: BinaryIO, content: bytes, length: int, name: str, max_pixels: int) -> Image.Image:
    if not content:
        raise DataError(f"{name}: is empty (0 bytes).")
    try:
        picture = Image.open(stream, formats=FORMATS)
    except Image.UnidentifiedImageError as error:
        raise DataError(
            f"{name}: is not an image: {_looks_like(content)}. Formats read: {', '.join(FORMATS)}."
        ) from error
    except MemoryError:
        raise  # the file is not to blame
    except Exception as error:  # A damaged header can make a plug-in raise anything.
        raise _undecodable(name, error) from error
    # Bits a pixel in memory, not in the file: Pillow uses a byte for each black-and-white pixel.
    deep = 4 if picture.mode[:1] in "IF" else 1
    _check_size(picture.size, 8 * deep * len(picture.getbands()), length, name, max_pixels)
    return picture


def _check_size(size: tuple[int, int], depth: int, length: int, name: str, max_pixels: int) -> None:
    width, height = size
    wrong = size_limits.trouble(width, height, depth, length, max_pixels)
    if wrong:
        raise DataError(f"{name}: {wrong}")
    if not width * height:
        raise DataError(f"{name}: has no pixels ({width} x {height}).")


def exif_orientation(opened: Opened, *, whole: bool = False) -> int:
    """The EXIF orientation: 1 is upright; 5 to 8 exchange width and height when applied.

    Args:
      opened: the file.
      whole: also look after a PNG's pixels, where the tag may be; they are decoded for that.
    """
    if opened.picture.format == "PNG" and "exif" not in opened.picture.info and not whole:
        return 1
    try:
        return opened.picture.getexif().get(ExifTags.Base.Orientation, 1)
    except MemoryError:
        raise  # the file is not to blame
    except Exception as error:  # A damaged file can make a decoder raise anything.
        raise _undecodable(opened.name, error) from error


def loaded(opened: Opened, upright: bool) -> Image.Image:
    try:
        if opened.picture.format == "PNG":
            _check_png(opened.content)
        opened.picture.load()
        return ImageOps.exif_transpose(opened.picture) if upright else opened.picture
    except MemoryError:
        raise  # the file is not to blame
    except Exception as error:  # A damaged file can make a decoder raise anything.
        raise _undecodable(opened.name, error) from error


def deep_png(opened: Opened) -> np.ndarray | None:
    """The pixels of a PNG of 16 bits with colours or alpha, of which Pillow keeps 8; None for any other file."""
    if opened.picture.format != "PNG" or opened.content[24] != 16 or opened.content[25] == 0:
        return None
    import tensorflow as tf

    try:
        _check_png(opened.content)
        array = tf.io.decode_png(opened.content, dtype=tf.uint16).numpy()
    except Exception as error:  # A damaged file can make a decoder raise anything.
        raise _undecodable(opened.name, error) from error
    return array


def _check_png(content: bytes) -> None:
    """Verifies each chunk's checksum: Pillow skips those of the pixel data, where a flipped bit would go unnoticed."""
    at = 8
    while at + 12 <= len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        end = at + 8 + length
        if end + 4 > len(content):
            raise ValueError(f"the file is truncated: {end + 4 - len(content)} bytes are missing")
        if zlib.crc32(content[at + 4 : end]) != struct.unpack(">I", content[end : end + 4])[0]:
            raise ValueError(f"the checksum of the {content[at + 4 : at + 8]!r} chunk at byte {at} is wrong: damaged")
        if content[at + 4 : at + 8] == b"IEND":
            return
        at = end + 4
    raise ValueError("the file is truncated: its end is missing")


def which_pages(opened: Opened, what: str, pages: str) -> str:
    """The possible readings of a file's pages, with the flag for each."""
    flag, masks = "--config.data.pages", what == "mask"
    if pages == "slices":
        return (
            f"{opened.name}: has {opened.tiff.pages} pages, which are examples of their own (data.pages=slices); here "
            "one image is wanted: save the pages as files."
        )
    choices = {f"{flag}=slices": "each page is an image of its own, with the same page of its mask"}
    if masks:
        choices[f"{flag}=objects"] = "each is an object of the mask, and they are united"
        choices["--config.data.mask_encoding=planes"] = "each is a class, and classes may overlap"
    else:
        choices[f"{flag}=channels"] = "they are the channels of one image"
    choices[f"{flag}=first"] = "the first alone counts"
    rows = "".join(f"\n    {written:<36} # {meaning}" for written, meaning in choices.items())
    return f"{opened.name}: has {opened.tiff.pages} pages. Say what they are:{rows}"


_SIGNATURES = (
    (b"\x89PNG\r\n", "it begins as a PNG, and its header is damaged or cut off"),
    (b"\xff\xd8\xff", "it begins as a JPEG, and its header is damaged or cut off"),
    (b"GIF8", "it begins as a GIF, and its header is damaged or cut off"),
    (b"RIFF", "it begins as a WEBP, and its header is damaged or cut off"),
    (b"II*\0", "it begins as a TIFF, and its header is damaged or cut off"),
    (b"MM\0*", "it begins as a TIFF, and its header is damaged or cut off"),
    (b"BM", "it begins as a BMP, and its header is damaged or cut off"),
    (b"%PDF", "it is a PDF"),
    (b"PK\x03\x04", "it is a ZIP archive"),
    (b"\x1f\x8b", "it is a gzip archive"),
    (b"\x93NUMPY", "it is a NumPy array"),
    (b"version https://git-lfs", "it is a Git LFS pointer; fetch the file itself: git lfs pull"),
    (b"<svg", "it is an SVG drawing"),
    (b"<?xml", "it is XML"),
    (b"<!DOCTYPE", "it is a web page"),
    (b"<html", "it is a web page"),
)


def _looks_like(content: bytes) -> str:
    for signature, meaning in _SIGNATURES:
        if content.lstrip().startswith(signature):
            return meaning
    if content[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypavif"):
        return "it is HEIC or AVIF; convert it to PNG or JPEG"
    if not content[:_SIGNATURE_BYTES].strip(b"\0"):
        return "it starts with zero bytes only"
    return f"it starts with the bytes {content[:8]!r}"


def _undecodable(name: str, error: Exception) -> DataError:
    reason = str(error).strip() or type(error).__name__
    return DataError(f"{name}: does not decode: {reason}.")
