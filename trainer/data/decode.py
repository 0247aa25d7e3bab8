"""Image files to arrays, whatever they are called inside: every format, mode and depth that real data sets hold.

Pillow reads them all: TensorFlow's decoders turn palette PNGs into colours, 16-bit ones into zeros, and refuse what is
called by the wrong extension. Bytes decide what a file is, never its name.
"""

from __future__ import annotations

import dataclasses
import io
import os
import struct
import zlib
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageOps

from configs.schema import Data
from trainer.data.errors import DataError, shown
from trainer.data.tiff import TiffFacts, read_tiff, tiff_facts

# What is tried. A closed list: other plug-ins of Pillow start programs (EPS starts Ghostscript).
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")

# In a folder files of these names are taken, whatever the case; bytes decide what is in them.
IMAGE_SUFFIXES = tuple(".png .jpg .jpeg .jpe .jfif .bmp .dib .gif .tif .tiff .webp .ppm .pgm .pbm .pnm .apng".split())

# Modes whose values are brightness in more than 8 bits.
_SIXTEEN_BITS = ("I;16", "I;16B", "I;16L", "I;16N")

_SIGNATURE_BYTES = 64

# Pillow's own limit is global, lower than some aerial images and only warns; max_pixels is checked before decoding.
Image.MAX_IMAGE_PIXELS = None


@dataclasses.dataclass(frozen=True)
class Opened:
    """A file whose header is read: size, mode and format are known, no pixel is decoded.

    content: the file, or its first bytes where only the header was asked for.
    stream: what the picture reads from.
    tiff: what the header of a TIFF file says.
    """

    picture: Image.Image
    content: bytes
    name: str
    stream: BinaryIO
    tiff: TiffFacts | None = None


@dataclasses.dataclass(frozen=True)
class MaskValues:
    """What a mask file says, before any table is applied.

    values: integers `[height, width]` (palette files give indices, never colours; but a GIF of greys gives those, since
      GIF has no other way to store them), or uint8 `[height, width, 3]`.
    palette: uint8 `[entries, 3]` of a palette file, else None.
    format: "PNG", "JPEG", …
    alpha: uint8 `[height, width]`, opaque 255, where the file has it.
    """

    values: np.ndarray
    palette: np.ndarray | None
    format: str
    alpha: np.ndarray | None = None


def read_image(
    source: str | os.PathLike | bytes, data: Data, *, name: str = "", upright: bool = True, page: int | None = None
) -> np.ndarray:
    """Decodes an image file as a config's data section says: `decode_image` with its fields."""
    return decode_image(
        source,
        data.channels,
        data.max_pixels,
        name=name,
        upright=upright,
        value_range=data.value_range,
        pages=data.pages,
        page=page,
    )


def decode_image(
    source: str | os.PathLike | bytes,
    channels: int,
    max_pixels: int,
    *,
    name: str = "",
    upright: bool = True,
    value_range: Sequence[Sequence[float]] = (),
    pages: str = "refuse",
    page: int | None = None,
) -> np.ndarray:
    """Decodes an image file.

    Grey is repeated for three channels; colour becomes luma (ITU-R 601) for one; a declared alpha is dropped; palettes
    become their colours; of an animation the first frame is taken.

    Args:
      source: a path, or the file's content.
      channels: 3 or 1, or the number of bands that a TIFF file has.
      max_pixels: an image with more is refused before it is decoded.
      name: what errors call it; the path by default.
      upright: turn the image as its EXIF orientation says, as every viewer shows it.
      value_range: of files with more than 8 bits, the values that become 0 and 255: a row for all bands, or one for
        each. Empty: 0 and 65535.
      pages: what the pages of a TIFF file are: "channels", "first", or "refuse".
      page: one page of a TIFF file, from 0, whatever `pages` says.
    Returns:
      uint8 `[height, width, channels]`; float32 of files with more than 8 bits where a range is given, not clipped.
    Raises:
      DataError: unreadable, too large, or of a kind without a fixed range; names the file.
    """
    opened = open_image(source, max_pixels, name=name)
    facts = opened.tiff
    if facts is None or (facts.plain and facts.pages == 1):
        deep = opened.picture.mode in (*_SIXTEEN_BITS, "I", "F")
        picture = _loaded(opened, upright)
        if deep and value_range:
            return scaled_values(np.asarray(picture)[:, :, None], channels, value_range, opened.name)
        return _to_uint8(picture, channels, opened.name)
    if facts.pages > 1 and page is None and pages not in ("first", "channels"):
        raise DataError(_which_pages(opened, "image"))
    wanted = [page or 0] if page is not None or pages != "channels" else range(facts.pages)
    array = np.concatenate([read_tiff(opened.content, opened.name, number) for number in wanted], axis=2)
    array = array[:, :, :-1] if facts.alpha and array.shape[2] - 1 in (1, 3) and array.shape[2] != channels else array
    if array.shape[2] not in (channels, 1) or (array.shape[2] == 1 and channels not in (1, 3)):
        raise DataError(
            f"{opened.name}: has {array.shape[2]} bands of {facts.bits} bits, and data.channels={channels}. To read "
            f"all: --config.data.channels={array.shape[2]}"
        )
    if array.dtype == np.uint8:
        return np.repeat(array, channels, axis=2) if array.shape[2] < channels else array
    return scaled_values(array, channels, value_range or ((0.0, 65535.0),), opened.name)


def scaled_values(array: np.ndarray, channels: int, value_range: Sequence[Sequence[float]], name: str) -> np.ndarray:
    """float32 `[height, width, channels]`, the range at 0 and 255; one band is repeated for more channels."""
    values = array.astype(np.float32)
    if not np.isfinite(values).all():
        raise DataError(f"{name}: holds {int((~np.isfinite(values)).sum())} values that are NaN or infinite.")
    if len(value_range) not in (1, values.shape[2]):
        raise DataError(f"{name}: has {values.shape[2]} bands, and data.value_range {len(value_range)} rows.")
    rows = np.asarray(value_range, np.float64)
    low, high = rows[:, 0].astype(np.float32), rows[:, 1].astype(np.float32)
    values = (values - low) * (np.float32(255) / np.maximum(high - low, np.float32(1e-12)))
    return np.repeat(values, channels, axis=2) if values.shape[2] < channels else values


def deep_values(source: str | os.PathLike | bytes, data: Data, page: int | None = None) -> np.ndarray | None:
    """The pixels `[height, width, bands]` of a file with more than 8 bits, as they are; None of any other."""
    opened = open_image(source, data.max_pixels)
    if opened.tiff is None or (opened.tiff.plain and opened.tiff.pages == 1):
        if opened.picture.mode not in (*_SIXTEEN_BITS, "I", "F"):
            return None
        return np.asarray(_loaded(opened, False))[:, :, None]
    if opened.tiff.bits == 8:
        return None
    wanted = [page or 0] if page is not None or data.pages != "channels" else range(opened.tiff.pages)
    return np.concatenate([read_tiff(opened.content, opened.name, number) for number in wanted], axis=2)


def bands_of(source: str | os.PathLike | bytes, data: Data) -> int:
    """The channels that a file's images have where data.channels leaves it open: 3 for grey and colour."""
    facts = open_image(source, data.max_pixels).tiff
    if facts is None:
        return 3
    bands = facts.bands * (facts.pages if data.pages == "channels" else 1)
    return 3 if facts.plain and bands <= 4 else bands - (facts.alpha and bands == 4)


def decode_values(
    source: str | os.PathLike | bytes,
    max_pixels: int,
    *,
    name: str = "",
    upright: bool = True,
    pages: str = "refuse",
    page: int | None = None,
) -> MaskValues:
    """Decodes a mask file to what its pixels say.

    Args:
      source, max_pixels, name, upright: as in `decode_image`.
      pages: what the pages of a TIFF file are: "objects", of which the later lie on top, "planes", side by side as
        channels, "first", or "refuse".
      page: one page of a TIFF file, from 0, whatever `pages` says.
    Raises:
      DataError: unreadable, too large, or without whole numbers; names the file.
    """
    opened = open_image(source, max_pixels, name=name)
    if opened.tiff is not None and opened.tiff.pages > 1:
        return _paged(opened, pages, page)
    if opened.tiff is not None and not opened.tiff.plain:
        return MaskValues(_whole_numbers(read_tiff(opened.content, opened.name), opened.name), None, "TIFF")
    picture = _loaded(opened, upright)
    palette = None
    alpha = np.asarray(picture.getchannel("A")) if "A" in picture.getbands() else None
    if picture.mode == "P":
        palette = np.array(picture.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
    elif picture.mode in ("LA", "La", "PA"):
        picture = picture.getchannel(0)
    elif picture.mode not in ("1", "L", "I", "F", "RGB", *_SIXTEEN_BITS):
        picture = picture.convert("RGB")
    values = _whole_numbers(np.asarray(picture), opened.name)
    if palette is not None and opened.picture.format == "GIF":
        used = palette[np.unique(values[values < len(palette)])]
        if (used == used[:, :1]).all():
            # GIF has no grey pictures: one is stored as indices into the greys that occur.
            values, palette = palette[values.clip(max=len(palette) - 1), 0], None
    factor = _grey_factor(opened)
    return MaskValues(values // factor if factor > 1 else values, palette, opened.picture.format, alpha)


def _whole_numbers(values: np.ndarray, name: str) -> np.ndarray:
    if values.dtype == np.bool_:
        return values.astype(np.uint8)
    return _whole(values, name) if values.dtype.kind == "f" else values


def _paged(opened: Opened, pages: str, page: int | None) -> MaskValues:
    """One page of a mask, or its pages in one."""
    if page is not None:
        values = _whole_numbers(read_tiff(opened.content, opened.name, page), opened.name)
        return MaskValues(values[:, :, 0] if values.shape[2] == 1 else values, None, "TIFF")
    if pages == "planes":
        read = [read_tiff(opened.content, opened.name, page) for page in range(opened.tiff.pages)]
        if len({one.shape for one in read}) > 1:
            raise DataError(f"{opened.name}: its {len(read)} pages are of several sizes.")
        return MaskValues(_whole_numbers(np.concatenate(read, axis=2), opened.name), None, "TIFF")
    if pages not in ("objects", "first"):
        raise DataError(_which_pages(opened, "mask"))
    values = None
    for page in range(opened.tiff.pages if pages == "objects" else 1):
        one = read_tiff(opened.content, opened.name, page)
        if one.shape[2] != 1 or one.dtype.kind not in "iub" or (values is not None and values.shape != one.shape[:2]):
            raise DataError(f"{opened.name}: page {page} is not a mask of whole numbers of the first page's size.")
        values = one[:, :, 0] if values is None else np.where(one[:, :, 0] != 0, one[:, :, 0], values)
    return MaskValues(values.astype(np.uint8) if values.dtype == np.bool_ else values, None, "TIFF")


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
            _check_size((facts.width, facts.height), length, name, max_pixels)
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
    _check_size(picture.size, length, name, max_pixels)
    return picture


def _check_size(size: tuple[int, int], length: int, name: str, max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise DataError(
            f"{name}: {width} x {height} = {width * height:,} pixels from a file of {length:,} bytes, and "
            f"at most {max_pixels:,} are accepted.\n  If that is right: --config.data.max_pixels={width * height}"
        )
    if not width * height:
        raise DataError(f"{name}: has no pixels ({width} x {height}).")


def exif_orientation(opened: Opened, *, whole: bool = False) -> int:
    """1 is upright; 5 to 8 exchange width and height when they are applied.

    Args:
      opened: the file.
      whole: also look behind a PNG's pixels, where the tag may stand; they are decoded for it.
    """
    if opened.picture.format == "PNG" and "exif" not in opened.picture.info and not whole:
        return 1
    try:
        return opened.picture.getexif().get(ExifTags.Base.Orientation, 1)
    except MemoryError:
        raise  # the file is not to blame
    except Exception as error:  # A damaged file can make a decoder raise anything.
        raise _undecodable(opened.name, error) from error


def _loaded(opened: Opened, upright: bool) -> Image.Image:
    try:
        if opened.picture.format == "PNG":
            _check_png(opened.content)
        opened.picture.load()
        return ImageOps.exif_transpose(opened.picture) if upright else opened.picture
    except MemoryError:
        raise  # the file is not to blame
    except Exception as error:  # A damaged file can make a decoder raise anything.
        raise _undecodable(opened.name, error) from error


def _to_uint8(picture: Image.Image, channels: int, name: str) -> np.ndarray:
    if picture.mode in _SIXTEEN_BITS or picture.mode == "I":
        values = np.asarray(picture).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise DataError(
                f"{name}: is a 32-bit image with values {values.min()} … {values.max()}; which of them is white is not "
                "known. Save it with 8 or 16 bits."
            )
        grey = ((values * 255 + 32767) // 65535).astype(np.uint8)
        return np.repeat(grey[:, :, None], channels, axis=2)
    if picture.mode == "F":
        raise DataError(
            f"{name}: is an image of 32-bit fractions; which value is white is not known. Save it with 8 or 16 bits."
        )
    if picture.mode in ("P", "PA"):
        picture = picture.convert("RGB")
    wanted = "RGB" if channels == 3 else "L"
    if picture.mode != wanted:
        picture = picture.convert(wanted)
    return np.asarray(picture).reshape(picture.size[1], picture.size[0], channels)


def _whole(values: np.ndarray, name: str) -> np.ndarray:
    wrong = ~np.isfinite(values) | (values != np.rint(values)) | (np.abs(values) >= 2**31)
    if wrong.any():
        raise DataError(
            f"{name}: the mask holds numbers that are no class ids: {values[wrong][0]:g} and others, {wrong.sum()} "
            "pixels. A class id is a whole number; save the mask as an 8-bit PNG."
        )
    return values.astype(np.int32)


def _grey_factor(opened: Opened) -> int:
    """What Pillow multiplies a grey PNG of 2 or 4 bits with to fill 0..255; ids have to be divided by it again."""
    if opened.picture.format != "PNG" or opened.picture.mode != "L":
        return 1
    depth, color_type = opened.content[24], opened.content[25]
    return {2: 85, 4: 17}.get(depth, 1) if color_type == 0 else 1


def _check_png(content: bytes) -> None:
    """Compares each chunk's checksum: Pillow leaves out those of the pixel data, where a flipped bit went unseen."""
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


def _which_pages(opened: Opened, what: str) -> str:
    """What the pages of a file could be, with the flag for each."""
    flag, masks = "--config.data.pages", what == "mask"
    choices = {f"{flag}=slices": "each page is an image of its own, with the same page of its mask"}
    if masks:
        choices[f"{flag}=objects"] = "each is an object of the mask, and they are united"
        choices["--config.data.mask_encoding=planes"] = "each is a class, and classes may overlap"
    else:
        choices[f"{flag}=channels"] = "they are the channels of one image"
    choices[f"{flag}=first"] = "the first alone counts"
    rows = "".join(f"\n    {written:<36} # {meaning}" for written, meaning in choices.items())
    return f"{opened.name}: has {opened.tiff.pages} pages. Say what they are:{rows}"
