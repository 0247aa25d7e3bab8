"""Image files to arrays: every format, mode and depth that occurs in real data sets.

Pillow reads them all: TensorFlow's decoders turn palette PNGs into colours, 16-bit ones into zeros, and refuse files
with a wrong extension.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from PIL import Image

from configs.schema import Data
from trainer.data.errors import DataError
from trainer.data.images.files import SIXTEEN_BITS, deep_png, loaded, open_image, which_pages
from trainer.data.images.tiff import TiffFacts, read_tiff


def read_image(
    source: str | os.PathLike | bytes, data: Data, *, name: str = "", upright: bool = True, page: int | None = None
) -> np.ndarray:
    """Decodes an image file by a config's data section: `decode_image` with its fields."""
    return decode_image(
        source,
        data.channels,
        data.max_pixels,
        name=name,
        upright=upright,
        value_range=data.value_range,
        pages=data.pages,
        page=page,
        bands=data.bands,
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
    bands: Sequence[str] = (),
) -> np.ndarray:
    """Decodes an image file.

    Grey is repeated for three channels; colour becomes luma (ITU-R 601) for a single one; a declared alpha is dropped;
    palettes become their colours; of an animation only the first frame is read.

    Args:
      source: a path, or the file's content.
      channels: 3 or 1, or the number of bands in a TIFF file.
      max_pixels: an image with more is refused before it is decoded.
      name: its name in errors; the path by default.
      upright: turn the image by its EXIF orientation, as every viewer does.
      value_range: for files with more than 8 bits, the values that become 0 and 255: one row for all bands, or one
        for each. Empty: 0 and 65535.
      pages: how to read the pages of a TIFF file: "channels", "first", or "refuse".
      page: one page of a TIFF file, from 0, whatever `pages` says.
      bands: names of the file's bands, "-" for each one left out; the others are `channels` in number.
    Returns:
      uint8 `[height, width, channels]`; for files with more than 8 bits and a given range float32, not clipped.
    Raises:
      DataError: unreadable, too large, or of a kind without a fixed range; names the file.
    """
    opened = open_image(source, max_pixels, name=name)
    facts = opened.tiff
    if facts is None or (facts.plain and facts.pages == 1):
        deep = opened.picture.mode in (*SIXTEEN_BITS, "I", "F")
        colors = deep_png(opened)
        if colors is not None:
            return _of_deep_png(colors, channels, value_range, bands, opened.name)
        picture = loaded(opened, upright)
        if bands:
            array = _named_bands(np.asarray(picture).reshape(picture.size[1], picture.size[0], -1), bands, opened.name)
            return (
                array if array.dtype == np.uint8 else scaled_values(array, channels, value_range or _DEEP, opened.name)
            )
        if deep and value_range:
            return scaled_values(np.asarray(picture)[:, :, None], channels, value_range, opened.name)
        return _to_uint8(picture, channels, opened.name)
    if facts.pages > 1 and page is None and pages not in ("first", "channels"):
        raise DataError(which_pages(opened, "image", pages))
    wanted = [page or 0] if page is not None or pages != "channels" else range(facts.pages)
    array = np.concatenate([read_tiff(opened.content, opened.name, number) for number in wanted], axis=2)
    return _banded(array, facts, channels, value_range, bands, opened.name)


def _banded(array: np.ndarray, facts: TiffFacts, channels: int, value_range, bands, name: str) -> np.ndarray:
    """The bands of a TIFF file that are used."""
    if bands:
        array = _named_bands(array, bands, name)
        return array if array.dtype == np.uint8 else scaled_values(array, channels, value_range or _DEEP, name)
    array = array[:, :, :-1] if facts.alpha and array.shape[2] - 1 in (1, 3) and array.shape[2] != channels else array
    if array.shape[2] not in (channels, 1) or (array.shape[2] == 1 and channels not in (1, 3)):
        raise DataError(
            f"{name}: has {array.shape[2]} bands of {facts.bits} bits, and data.channels={channels}. To read "
            f"all: --config.data.channels={array.shape[2]}"
        )
    if array.dtype == np.uint8:
        return np.repeat(array, channels, axis=2) if array.shape[2] < channels else array
    return scaled_values(array, channels, value_range or _DEEP, name)


def converted(part: np.ndarray, facts: TiffFacts, data: Data, name: str) -> np.ndarray:
    """A part of a TIFF file, `[rows, columns, bands]` in the file's own type, as `decode_image` returns the whole.

    Raises:
      DataError: as there.
    """
    plain = facts.plain and facts.pages == 1
    if not plain or data.bands:
        return _banded(part, facts, data.channels, data.value_range, data.bands, name)
    if part.dtype == np.bool_:
        part = part.astype(np.uint8) * 255
    if part.dtype.itemsize > 1 and data.value_range:
        return scaled_values(part, data.channels, data.value_range, name)
    bands = part.shape[2] - (part.shape[2] in (2, 4))
    part = part[:, :, :bands]
    picture = Image.fromarray(part[:, :, 0] if bands == 1 else np.ascontiguousarray(part))
    return _to_uint8(picture, data.channels, name)


def _of_deep_png(
    array: np.ndarray, channels: int, value_range: Sequence[Sequence[float]], bands: Sequence[str], name: str
) -> np.ndarray:
    if bands:
        array = _named_bands(array, bands, name)
    elif array.shape[2] in (2, 4) and array.shape[2] != channels:
        array = array[:, :, :-1]
    if channels == 1 and array.shape[2] == 3:
        array = np.rint(array @ np.array([0.299, 0.587, 0.114]))[:, :, None]
        value_range = value_range if len(value_range) == 1 else ()
    if array.shape[2] not in (1, channels):
        raise DataError(f"{name}: has {array.shape[2]} channels, and data.channels={channels}.")
    return scaled_values(array, channels, value_range or _DEEP, name)


# The range of 16-bit integers, where none is known.
_DEEP = ((0.0, 65535.0),)


def _named_bands(array: np.ndarray, bands: Sequence[str], name: str) -> np.ndarray:
    """The bands that have a name."""
    if array.shape[2] != len(bands):
        raise DataError(
            f"{name}: has {array.shape[2]} bands, and data.bands names {len(bands)} "
            f"({', '.join(bands)}): one for each, "
            '"-" for one that is left out.'
        )
    return np.ascontiguousarray(array[:, :, [k for k, band in enumerate(bands) if band != "-"]])


def scaled_values(array: np.ndarray, channels: int, value_range: Sequence[Sequence[float]], name: str) -> np.ndarray:
    """float32 `[height, width, channels]`, the range scaled to 0 and 255; a band is repeated for more channels."""
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
    """The unchanged pixels `[height, width, bands]` of a file with more than 8 bits; None for any other."""
    opened = open_image(source, data.max_pixels)
    if opened.tiff is None or (opened.tiff.plain and opened.tiff.pages == 1):
        colors = deep_png(opened)
        if colors is not None:
            wanted = _named_bands(colors, data.bands, opened.name) if data.bands else colors
            alpha = not data.bands and wanted.shape[2] in (2, 4) and wanted.shape[2] != data.channels
            wanted = wanted[:, :, :-1] if alpha else wanted
            luma = data.channels == 1 and wanted.shape[2] == 3
            return wanted @ np.array([0.299, 0.587, 0.114])[:, None] if luma else wanted
        if opened.picture.mode not in (*SIXTEEN_BITS, "I", "F"):
            return None
        array = np.asarray(loaded(opened, False))[:, :, None]
        return _named_bands(array, data.bands, opened.name) if data.bands else array
    if opened.tiff.bits == 8:
        return None
    wanted = [page or 0] if page is not None or data.pages != "channels" else range(opened.tiff.pages)
    array = np.concatenate([read_tiff(opened.content, opened.name, number) for number in wanted], axis=2)
    return _named_bands(array, data.bands, opened.name) if data.bands else array


def bands_of(source: str | os.PathLike | bytes, data: Data) -> int:
    """The channels of a file's images where data.channels leaves it open: 3 for grey and colour."""
    facts = open_image(source, data.max_pixels).tiff
    if facts is None:
        return 3
    bands = facts.bands * (facts.pages if data.pages == "channels" else 1)
    return 3 if facts.plain and bands <= 4 else bands - (facts.alpha and bands == 4)


def _to_uint8(picture: Image.Image, channels: int, name: str) -> np.ndarray:
    if picture.mode in SIXTEEN_BITS or picture.mode == "I":
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
