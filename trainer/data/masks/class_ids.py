"""Masks to class ids, in the three ways in which a mask file can hold the class of a pixel; errors where they fail."""

from __future__ import annotations

import dataclasses
import functools
import os

import numpy as np

from configs.schema import Data
from trainer.data.errors import DataError, shown
from trainer.data.masks.recognition import recognise_masks
from trainer.data.masks.values import MaskValues, decode_values

# In a look-up table of int32: no class, no void.
_UNKNOWN = -(2**31)
_MOST_NAMED = 8


def decode_mask(
    source: str | os.PathLike | bytes, data: Data, *, name: str = "", upright: bool = True, page: int | None = None
) -> np.ndarray:
    """Decodes a mask file to class ids.

    Args:
      source: a path, or the file's content.
      data: the config's section: mask_encoding with its table, classes, void_id, max_pixels.
      name: its name in errors; the path by default.
      upright, page: as in `decode_image`.
    Returns:
      `[height, width]`, class ids or `data.void_id`, in the smallest integer type that holds them; for classes that
      overlap `[height, width, classes]`, 1, 0 or `data.void_id`.
    Raises:
      DataError: unreadable, or with values or colours outside the table, each named with its number of pixels.
    """
    if not name and not isinstance(source, bytes):
        name = shown(source)
    pages = "planes" if data.mask_encoding == "planes" else data.pages
    values = decode_values(source, data.max_pixels, name=name, upright=upright, pages=pages, page=page)
    return label_from(values, data, name or "a mask")


def label_from(mask: MaskValues, data: Data, name: str) -> np.ndarray:
    """As `decode_mask`, from values that are already decoded."""
    if data.mask_encoding == "auto":
        # Nothing was recognised from many masks, so this one has to be clear by itself.
        data = dataclasses.replace(data, **recognise_masks([(name, mask)], data, alone=True).fields)
    if data.multi_label:
        return planes_from(mask, data, name)
    if mask.values.ndim == 3 and mask.values.shape[2] != 3:
        raise DataError(
            f"{name}: the mask has {mask.values.shape[2]} channels. If each is a class, and classes may overlap: "
            "--config.data.mask_encoding=planes"
        )
    if data.mask_encoding == "alpha":
        label = _alpha(mask, name)
    elif data.mask_encoding == "binary":
        label = _binary(mask, data)
    elif data.mask_encoding == "colors":
        label = _colors(mask, data, name)
    else:
        label = _ids(mask, data, name)
    return label.astype(label_type(data), copy=False)


def planes_from(mask: MaskValues, data: Data, name: str) -> np.ndarray:
    """For classes that overlap: `[height, width, classes]`, 1 where a pixel is of the class, 0, or `data.void_id`."""
    values, count = mask.values, len(data.classes)
    if data.mask_encoding == "bits":
        if values.ndim == 3:
            raise DataError(
                f"{name}: has {values.shape[2]} channels, and mask_encoding='bits' wants one number a pixel."
            )
        void = np.isin(values, data.void_values)
        wrong = ~void & ((values < 0) | (values >> count != 0))
        if wrong.any():
            raise DataError(
                f"{name}: {int(wrong.sum())} pixels have bits beyond the {count} classes ({', '.join(data.classes)}): "
                f"{_counted(*np.unique(values[wrong], return_counts=True))}. Bit 0, of value 1, is the first class."
            )
        planes = (np.where(void, 0, values)[:, :, None] >> np.arange(count)) & 1
        void = void[:, :, None]
    elif data.mask_encoding == "regions":
        planes, void = _regions(mask, data, name)
    else:
        planes = values[:, :, None] if values.ndim == 2 else values
        if mask.alpha is not None:
            planes = np.dstack([planes, mask.alpha])
        if mask.palette is not None or planes.shape[2] != count:
            what = "is a palette file" if mask.palette is not None else f"has {planes.shape[2]} channels or pages"
            raise DataError(
                f"{name}: {what}, and there are {count} classes ({', '.join(data.classes)}): mask_encoding="
                f"{data.mask_encoding!r} wants a channel or a page for each."
            )
        void = np.isin(planes, data.void_values)
        planes = foreground(mask, planes)
    return np.where(void, data.void_id, planes).astype(label_type(data))


def _regions(mask: MaskValues, data: Data, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Planes of classes that unite ids, and where the mask is void."""
    values = mask.values
    if values.ndim == 3:
        raise DataError(f"{name}: has {values.shape[2]} channels, and mask_encoding='regions' wants one id a pixel.")
    known = sorted({0, *(value for value, _ in data.mask_ids), *data.void_values})
    at = np.searchsorted(known, values).clip(max=len(known) - 1)
    wrong = np.asarray(known)[at] != values
    if wrong.any():
        raise DataError(
            f"{name}: {int(wrong.sum())} pixels have values of no class: "
            f"{_counted(*np.unique(values[wrong], return_counts=True))}. mask_ids has rows for "
            f"{', '.join(map(str, known))}."
        )
    rows = np.zeros((len(known), len(data.classes)), np.int64)
    void = np.isin(known, data.void_values)
    for value, class_id in data.mask_ids:
        place = known.index(value)
        if class_id == data.void_id:
            void[place] = True
        else:
            rows[place, class_id] = 1
    return rows[at], void[at][:, :, None]


def foreground(mask: MaskValues, values: np.ndarray) -> np.ndarray:
    """Which pixels of a mask of two values have the higher one: all but 0, or from half up where edges are smeared."""
    return values >= _threshold(mask, values)


def label_type(data: Data) -> np.dtype:
    """The smallest integer type for every class id and the void id."""
    return np.result_type(np.min_scalar_type(max(len(data.classes) - 1, 1)), np.min_scalar_type(data.void_id))


def _alpha(mask: MaskValues, name: str) -> np.ndarray:
    if mask.alpha is None:
        raise DataError(f"{name}: has no alpha channel, and mask_encoding='alpha' reads the mask from it.")
    return mask.alpha >= 128


def _binary(mask: MaskValues, data: Data) -> np.ndarray:
    values = mask.values
    if mask.palette is not None:
        # A palette may have black anywhere; black is then 0. Without black the index decides.
        black = ~mask.palette.any(axis=1)
        used = np.bincount(values.ravel(), minlength=len(black))[: len(black)] > 0
        if (black & used).any():
            label = (~np.append(black, np.zeros(256 - len(black), bool))[values]).astype(np.int32)
        else:
            label = (values != 0).astype(np.int32)
    else:
        values = values.max(axis=2) if values.ndim == 3 else values
        # JPEG and resizing smear edges: there the nearer of the two values counts.
        label = (values >= (data.mask_threshold or _threshold(mask, values))).astype(np.int32)
    for value in data.void_values:
        label[values == value] = data.void_id
    return label


def _threshold(mask: MaskValues, values: np.ndarray) -> int:
    if mask.format in ("JPEG", "MPO"):
        return 128
    high = int(values.max(initial=0))
    return (high + 1) // 2 if high > 1 and len(np.unique(values)) > 2 else 1


def _ids(mask: MaskValues, data: Data, name: str) -> np.ndarray:
    values = mask.values
    if values.ndim == 3:
        if (values != values[:, :, :1]).any():
            raise DataError(
                f"{name}: is a colour image, and mask_encoding='ids' wants one number a pixel. If colours tell the "
                "classes:\n  mask_encoding='colors', mask_colors=((red, green, blue, class id), …)"
            )
        values = values[:, :, 0]
    table = data.mask_ids
    if not table:
        allowed = {*range(len(data.classes)), data.void_id}
        table = tuple((value, value) for value in sorted(allowed))
    table = (*(row for row in table if row[0] not in data.void_values), *((v, data.void_id) for v in data.void_values))
    keys = np.array([value for value, _ in table], np.int64)
    ids = np.array([class_id for _, class_id in table], np.int64)
    if values.dtype == np.uint8:
        lookup = np.full(256, _UNKNOWN, np.int32)
        within = (keys >= 0) & (keys < 256)
        lookup[keys[within]] = ids[within]
        label = lookup[values]
    else:
        by_key = np.argsort(keys)
        at = by_key[np.searchsorted(keys, values, sorter=by_key).clip(max=len(keys) - 1)]
        label = np.where(keys[at] == values, ids[at], _UNKNOWN)
    unknown = label == _UNKNOWN
    if unknown.any():
        raise _unknown_ids(values[unknown], data, name, mask.format)
    return label


def _unknown_ids(values: np.ndarray, data: Data, name: str, format_name: str) -> DataError:
    found, counts = np.unique(values, return_counts=True)
    text = f"{name}: {values.size} pixels have values that are no class: {_counted(found, counts)}.\n"
    if format_name in ("JPEG", "MPO"):
        return DataError(text + "  The mask is a JPEG, which changes values along edges: save masks as PNG.")
    rows = ", ".join(f"({value}, {data.void_id})" for value in found[:3]) + (", …" if len(found) > 3 else "")
    if data.mask_ids:
        mapped = ", ".join(str(value) for value, _ in data.mask_ids)
        return DataError(f"{text}  mask_ids maps {mapped}. Add rows of (value, class id): mask_ids=(…, {rows})")
    text += (
        f"  Classes are 0 … {len(data.classes) - 1} ({', '.join(data.classes)}), and {data.void_id} is void. Name all "
        f"classes, or map the values:\n    mask_ids=((0, 0), …, {rows})   # value, class id"
    )
    if len(data.classes) == 2:
        text += f"\n    mask_encoding='binary'   # 0 is {data.classes[0]}, anything else {data.classes[1]}"
    return DataError(text)


def _colors(mask: MaskValues, data: Data, name: str) -> np.ndarray:
    lookup = _color_lookup(data.mask_colors)
    values = mask.values
    if mask.palette is not None:
        entries = np.zeros((256, 3), np.uint8)
        entries[: len(mask.palette)] = mask.palette
        label = lookup[_packed(entries)][values]
        colors = entries[values[label == _UNKNOWN]]
    else:
        if values.ndim == 2:
            if values.max(initial=0) > 255:
                raise DataError(f"{name}: has values up to {values.max()}, not colours: mask_encoding='ids'?")
            values = np.repeat(values.astype(np.uint8)[:, :, None], 3, axis=2)
        label = lookup.take(_packed(values))
        if data.color_tolerance:
            label = _nearest_colors(label, values, data)
        colors = values[label == _UNKNOWN]
    if len(colors):
        raise _unknown_colors(colors, data, name, mask.format)
    return label


def _nearest_colors(label: np.ndarray, values: np.ndarray, data: Data) -> np.ndarray:
    """The label; pixels with no colour of the table get its nearest one, within the tolerance."""
    unknown = label == _UNKNOWN
    found, places = np.unique(values[unknown].astype(np.int64), axis=0, return_inverse=True)
    if not len(found):
        return label
    rows = np.array([row[:3] for row in data.mask_colors], np.int64)
    ids = np.array([row[3] for row in data.mask_colors], np.int32)
    nearest = ((found[:, None] - rows[None]) ** 2).sum(axis=2).argmin(axis=1)
    within = np.abs(found - rows[nearest]).max(axis=1) <= data.color_tolerance
    label = label.copy()
    label[unknown] = np.where(within, ids[nearest], _UNKNOWN)[places.ravel()]
    return label


def _packed(colors: np.ndarray) -> np.ndarray:
    """One number for each colour of uint8 `[…, 3]`: red, green and blue, a byte each."""
    flat = np.empty(colors.size + 1, np.uint8)
    flat[:-1] = colors.reshape(-1)
    # Four bytes are read from the start of each colour; the last of them belongs to the next.
    return (np.ndarray(colors.size // 3, ">u4", flat.data, 0, (3,)) >> 8).reshape(colors.shape[:-1])


@functools.lru_cache(maxsize=2)
def _color_lookup(table: tuple[tuple[int, int, int, int], ...]) -> np.ndarray:
    """Class id of each of the 2**24 colours: 64 MiB once, then one look-up a pixel."""
    lookup = np.full(2**24, _UNKNOWN, np.int32)
    for red, green, blue, class_id in table:
        lookup[(red << 16) | (green << 8) | blue] = class_id
    return lookup


def _unknown_colors(colors: np.ndarray, data: Data, name: str, format_name: str) -> DataError:
    found, counts = np.unique(_packed(colors), return_counts=True)
    triples = [(int(c) >> 16, int(c) >> 8 & 255, int(c) & 255) for c in found]
    text = f"{name}: {len(colors)} pixels have colours that are not in mask_colors: {_counted(triples, counts)}.\n"
    if format_name in ("JPEG", "MPO"):
        return DataError(
            text
            + "  The mask is a JPEG, which changes colours along edges: save masks as PNG, or take the nearest colour "
            "of the table: --config.data.color_tolerance=32"
        )
    most = triples[int(counts.argmax())]
    return DataError(
        text + f"  Add a row for each, as here: mask_colors=(…, ({most[0]}, {most[1]}, {most[2]}, {data.void_id}))   "
        "# red, green, blue, class id"
    )


def _counted(values, counts: np.ndarray) -> str:
    most_first = np.argsort(-counts, kind="stable")[:_MOST_NAMED]
    parts = [f"{values[i]} ({counts[i]} pixels)" for i in most_first]
    return ", ".join(parts) + (f" and {len(counts) - len(parts)} more" if len(counts) > len(parts) else "")
