"""Masks of classes that overlap: each class is a file, a bit, a channel or page, or a union of ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from configs.schema import Data
from trainer.data.errors import DataError
from trainer.data.masks.class_ids import foreground
from trainer.data.masks.recognition import Recognised
from trainer.data.masks.values import MaskValues

_ENCODINGS = ("bits", "planes", "files", "regions")


def overlapping_masks(
    masks: Sequence[tuple[str, MaskValues]], data: Data, kinds: Sequence[str] = ()
) -> Recognised | None:
    """How to read masks whose classes may overlap; None where nothing suggests that they do.

    Args:
      masks: (name, the file's values), of many; with a file for each class, a plane for each.
      data: the config's section.
      kinds: the classes in the files' names.

    Raises:
      DataError: files of several classes that never overlap may mean either; lists both, with the flag for each.
    """
    if kinds and data.mask_encoding in ("auto", "files"):
        return _files(masks, data, kinds)
    if not data.multi_label and data.mask_encoding not in _ENCODINGS:
        return None
    if data.mask_encoding == "files":
        raise DataError(
            "data.mask_encoding=files: no mask is called as its image and a class: masks/CLASS/a.png, masks/a_CLASS.png"
            + (f", with the classes {', '.join(data.classes)}." if data.classes else ", with two classes or more.")
        )
    encoding = data.mask_encoding
    if encoding == "auto":
        encoding = "planes" if any(_planes(mask) > 1 for _, mask in masks) else "bits"
    if encoding == "regions":
        united = {class_id: [] for _, class_id in sorted(data.mask_ids, key=lambda row: row[1])}
        united.pop(data.void_id, None)
        for value, class_id in data.mask_ids:
            if class_id != data.void_id:
                united[class_id].append(str(value))
        names = data.classes or tuple(f"class_{number}" for number in range(max(united, default=0) + 1))
        parts = "; ".join(f"{names[class_id]} = {', '.join(values)}" for class_id, values in united.items())
        return _recognised(encoding, names, f"the classes overlap, each unites values of the masks: {parts}")
    if encoding == "bits":
        highest = max(int(m.values[~np.isin(m.values, data.void_values)].max(initial=0)) for _, m in masks)
        count = max(highest.bit_length(), 1)
    else:
        count = max(_planes(mask) for _, mask in masks)
    classes = data.classes or tuple(f"class_{number}" for number in range(count))
    what = "bit" if encoding == "bits" else "channel or page"
    return _recognised(encoding, classes, f"the classes overlap: {what} k of a mask is class k ({', '.join(classes)})")


def _files(masks, data: Data, kinds: Sequence[str]) -> Recognised:
    several = pixels = 0
    for _, mask in masks:
        count = sum(foreground(mask, plane).astype(np.int64) for plane in np.moveaxis(mask.values, 2, 0))
        several, pixels = several + int((count > 1).sum()), pixels + count.size
    named = [name for name in data.classes if name in kinds] or list(kinds)
    unknown = [name for name in kinds if data.classes and name not in data.classes]
    if unknown:
        raise DataError(
            f"There are mask files of {', '.join(unknown)}, and data.classes has {', '.join(data.classes)}."
        )
    if data.labels == "exclusive":
        classes = data.classes or ("background", *kinds)
        note = f"a mask file for each class ({', '.join(named)}); where they meet, the later one counts"
        return Recognised({"mask_encoding": "files", "classes": classes}, (note,))
    if not several and not data.multi_label:
        flag = "--config.data.labels"
        raise DataError(
            f"There is a mask file for each of {len(kinds)} classes ({', '.join(kinds)}), and no pixel is of two of "
            f"them. Say which is meant:\n    {flag}=exclusive   # a pixel is of one class, or background\n"
            f"    {flag}=multi       # classes may overlap; each has an output and a threshold of its own"
        )
    share = f"{several / max(pixels, 1):.1%} of the pixels are of several at once"
    classes = data.classes or tuple(kinds)
    return _recognised("files", classes, f"a mask file for each class ({', '.join(named)}); {share}")


def _recognised(encoding: str, classes: Sequence[str], note: str) -> Recognised:
    fields: Mapping[str, Any] = {"mask_encoding": encoding, "labels": "multi", "classes": tuple(classes)}
    return Recognised(fields, (note, "each class has an output with a sigmoid of its own"))


def _planes(mask: MaskValues) -> int:
    channels = mask.values.shape[2] if mask.values.ndim == 3 else 1
    return channels + (mask.alpha is not None)
