"""The values in mask files, before any table is applied: ids, indices of a palette, or colours."""

from __future__ import annotations

import dataclasses
import os

import numpy as np

from trainer.data.errors import DataError
from trainer.data.images.files import SIXTEEN_BITS, Opened, deep_png, loaded, open_image, which_pages
from trainer.data.images.tiff import read_tiff


@dataclasses.dataclass(frozen=True)
class MaskValues:
    """The values in a mask file, before any table is applied.

    values: integers `[height, width]` (indices, never colours, for palette files; but greys for a grey GIF, since GIF
      has no other way to store them), or uint8 `[height, width, 3]`.
    palette: uint8 `[entries, 3]` of a palette file, otherwise None.
    format: "PNG", "JPEG", …
    alpha: uint8 `[height, width]`, 255 is opaque; None where the file has none.
    """

    values: np.ndarray
    palette: np.ndarray | None
    format: str
    alpha: np.ndarray | None = None


def decode_values(
    source: str | os.PathLike | bytes,
    max_pixels: int,
    *,
    name: str = "",
    upright: bool = True,
    pages: str = "refuse",
    page: int | None = None,
) -> MaskValues:
    """Decodes a mask file to its values.

    Args:
      source, max_pixels, name, upright: as in `decode_image`.
      pages: how to read the pages of a TIFF file: "objects", the later on top, "planes", side by side as channels,
        "first", or "refuse".
      page: one page of a TIFF file, from 0, whatever `pages` says.
    Raises:
      DataError: unreadable, too large, or without whole numbers; names the file.
    """
    opened = open_image(source, max_pixels, name=name)
    if opened.tiff is not None and opened.tiff.pages > 1:
        return _paged(opened, pages, page)
    if opened.tiff is not None and not opened.tiff.plain:
        return MaskValues(_whole_numbers(read_tiff(opened.content, opened.name), opened.name), None, "TIFF")
    deep = deep_png(opened)
    if deep is not None and int(deep[:, :, :3].max(initial=0)) % 257:
        # Of ids in 16 bits Pillow would keep the high byte, 0; it reads 8 bits written as 16 correctly.
        plain = (deep[:, :, :3] == deep[:, :, :1]).all()
        if not plain and deep.max(initial=0) > 255:
            raise DataError(
                f"{opened.name}: is a mask of 16-bit colours. Save it with 8 bits, or as one channel of ids."
            )
        values = deep[:, :, 0] if plain or deep.shape[2] == 2 else deep[:, :, :3].astype(np.uint8)
        return MaskValues(values, None, "PNG")
    picture = loaded(opened, upright)
    palette = None
    alpha = np.asarray(picture.getchannel("A")) if "A" in picture.getbands() else None
    if picture.mode == "P":
        palette = np.array(picture.getpalette("RGB") or [], np.uint8).reshape(-1, 3)
    elif picture.mode in ("LA", "La", "PA"):
        picture = picture.getchannel(0)
    elif picture.mode not in ("1", "L", "I", "F", "RGB", *SIXTEEN_BITS):
        picture = picture.convert("RGB")
    values = _whole_numbers(np.asarray(picture), opened.name)
    if palette is not None and opened.picture.format == "GIF":
        used = palette[np.unique(values[values < len(palette)])]
        if (used == used[:, :1]).all():
            # GIF has no grey pictures: they are stored as indices into the greys that occur.
            values, palette = palette[values.clip(max=len(palette) - 1), 0], None
    factor = _grey_factor(opened)
    return MaskValues(values // factor if factor > 1 else values, palette, opened.picture.format, alpha)


def _whole_numbers(values: np.ndarray, name: str) -> np.ndarray:
    if values.dtype == np.bool_:
        return values.astype(np.uint8)
    return _whole(values, name) if values.dtype.kind == "f" else values


def _paged(opened: Opened, pages: str, page: int | None) -> MaskValues:
    """One page of a mask, or its pages combined."""
    if page is not None:
        values = _whole_numbers(read_tiff(opened.content, opened.name, page), opened.name)
        return MaskValues(values[:, :, 0] if values.shape[2] == 1 else values, None, "TIFF")
    if pages == "planes":
        read = [read_tiff(opened.content, opened.name, page) for page in range(opened.tiff.pages)]
        if len({mask.shape for mask in read}) > 1:
            raise DataError(f"{opened.name}: its {len(read)} pages are of several sizes.")
        return MaskValues(_whole_numbers(np.concatenate(read, axis=2), opened.name), None, "TIFF")
    if pages not in ("objects", "first"):
        raise DataError(which_pages(opened, "mask", pages))
    values = None
    for page in range(opened.tiff.pages if pages == "objects" else 1):
        ids = read_tiff(opened.content, opened.name, page)
        if ids.shape[2] != 1 or ids.dtype.kind not in "iub" or (values is not None and values.shape != ids.shape[:2]):
            raise DataError(f"{opened.name}: page {page} is not a mask of whole numbers of the first page's size.")
        values = ids[:, :, 0] if values is None else np.where(ids[:, :, 0] != 0, ids[:, :, 0], values)
    return MaskValues(values.astype(np.uint8) if values.dtype == np.bool_ else values, None, "TIFF")


def _whole(values: np.ndarray, name: str) -> np.ndarray:
    wrong = ~np.isfinite(values) | (values != np.rint(values)) | (np.abs(values) >= 2**31)
    if wrong.any():
        raise DataError(
            f"{name}: the mask holds numbers that are no class ids: {values[wrong][0]:g} and others, {wrong.sum()} "
            "pixels. A class id is a whole number; save the mask as an 8-bit PNG."
        )
    return values.astype(np.int32)


def _grey_factor(opened: Opened) -> int:
    """Pillow multiplies a grey PNG of 2 or 4 bits by this to fill 0..255; ids have to be divided by it again."""
    if opened.picture.format != "PNG" or opened.picture.mode != "L":
        return 1
    depth, color_type = opened.content[24], opened.content[25]
    return {2: 85, 4: 17}.get(depth, 1) if color_type == 0 else 1
