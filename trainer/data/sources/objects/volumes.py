"""Volumes passed as Python objects: pairs of arrays, or anything with len() and [i] that returns such pairs.

An image of four axes `[depth, height, width, channels]` beside a label of three is a volume, unless it is uint8 with 3
channels, which is refused as a batch of pictures. Values are not normalised, like those of image arrays: bring them to
the same scale beforehand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from configs.schema import Data
from trainer.data.errors import DataError
from trainer.data.example import Example, image_feature, label_feature
from trainer.data.source import Numbered
from trainer.data.sources.objects.labels import infer_classes
from trainer.data.sources.splits import Splits
from trainer.data.sources.splitting import held_out

# Volumes whose labels are examined where the classes are not named.
_LOOKED_AT = 32
# Up to this many channels an image has colours, and a label's planes are classes.
_FEW_PLANES = 4


def open_volumes(value: Any, data: Data, title: str) -> Splits | None:
    """The splits of an object of volumes; None if it holds no volumes.

    Raises:
      DataError: an example has other axes or channels than the first; or it may be a volume without a channel axis.
    """
    given = value if isinstance(value, Mapping) and "train" in value else {"train": value}
    if not _are_volumes(given["train"]):
        _check_no_axis_is_missing(given["train"], data)
        return None
    items = {split: _items(part) for split, part in given.items() if part is not None}
    readers = {split: VolumeArrays(part, split if len(given) > 1 else "data", data) for split, part in items.items()}
    train, notes = readers["train"], []
    if "validation" not in given:
        chosen = held_out(train.names, data)
        order = range(len(train.names))
        readers = {"train": train.of([i for i in order if i not in chosen]), "validation": train.of(sorted(chosen))}
    classes = tuple(data.classes)
    if not classes:
        counts: dict[int, int] = {}
        for index in range(min(len(train.names), _LOOKED_AT)):
            values, voxels = np.unique(train(index).label, return_counts=True)
            for label, count in zip(values.tolist(), voxels.tolist(), strict=True):
                counts[label] = counts.get(label, 0) + count
        classes, note = infer_classes(counts, data, f"the labels of {min(len(train.names), _LOOKED_AT)} volumes")
        notes += [note] if note else []
    return Splits(
        readers["train"],
        readers.get("validation"),
        classes=classes,
        channels=train.channels,
        title=title,
        notes=tuple(notes),
        fields={"classes": classes, "channels": train.channels},
    )


def _items(part: Any) -> Any:
    """An object with len() and [i] that returns (image, label)."""
    if isinstance(part, tuple) and len(part) == 2:
        images, labels = part
        if len(images) != len(labels):
            raise DataError(f"data: there are {len(images)} volumes and {len(labels)} labels.")
        return list(zip(images, labels, strict=True))
    if isinstance(part, Mapping):
        return _items((part["image"], part["label"]))
    return part


def _are_volumes(part: Any) -> bool:
    try:
        if isinstance(part, tuple) and len(part) == 2 and hasattr(part[0], "ndim") and part[0].ndim != 5:
            return False
        image, label = _pair(_items(part)[0])
        # Bytes with four axes and red, green and blue are a batch of pictures far more often than a volume.
        pictures = np.shape(image)[-1:] == (3,) and getattr(image, "dtype", None) == np.uint8
        return np.ndim(image) == 4 and np.shape(label) == np.shape(image)[:3] and not pictures
    except Exception:  # whatever else it is, `objects` says
        return False


def _check_no_axis_is_missing(part: Any, data: Data) -> None:
    """Image and label of the same shape `[a, b, c]` may be a volume of one channel, or c channels and c classes."""
    try:
        image, label = (np.asarray(each) for each in _pair(_items(part)[0]))
    except Exception:  # whatever else it is, `objects` says
        return
    if image.ndim != 3 or image.shape != label.shape or label.dtype.kind not in "iub" or data.labels == "multi":
        return
    depth, height, planes = image.shape
    if planes <= _FEW_PLANES or (label.astype(bool).sum(axis=2) == 1).all():
        return
    shape = f"[{depth}, {height}, {planes}]"
    raise DataError(
        f"The first image and its label both have the shape {shape}, which can be read in two ways.\n"
        "  A volume of one channel has an axis for it, [depth, height, width, 1]: pass image[..., None].\n"
        f"  An image of {planes} channels whose label has a plane of 0 and 1 for each of {planes} classes: say so, "
        "Data(labels='multi')."
    )


def _pair(item: Any) -> tuple[Any, Any]:
    return (item["image"], item["label"]) if isinstance(item, Mapping) else (item[0], item[1])


class VolumeArrays:
    """Reads the volumes of an object by index; see the module."""

    cached = False

    def __init__(self, items: Any, prefix: str, data: Data, order: Sequence[int] | None = None):
        self._items, self._prefix, self._data = items, prefix, data
        self._order = range(len(items)) if order is None else order
        every = Numbered(prefix, len(items))
        self.names = every if order is None else tuple(every[i] for i in order)
        if not len(self.names):
            raise DataError(f"{prefix} is empty: its length is 0.")
        self.channels = np.shape(_pair(items[0])[0])[3]
        self.features = {"image": image_feature(self.channels), "label": label_feature(data.void_id)}

    def of(self, order: Sequence[int]) -> VolumeArrays:
        """The same reader with some of the examples."""
        return VolumeArrays(self._items, self._prefix, self._data, tuple(order))

    def __call__(self, index: int) -> Example:
        name = self.names[index]
        image, label = (np.asarray(part) for part in _pair(self._items[self._order[index]]))
        if image.ndim != 4 or image.shape[3] != self.channels or label.shape != image.shape[:3]:
            raise DataError(
                f"{name} has an image of shape {list(image.shape)} and a label of {list(label.shape)}: a volume is "
                f"[depth, height, width, {self.channels}], as the others, and its label [depth, height, width]."
            )
        if label.dtype.kind not in "iub":
            raise DataError(f"{name}['label'] is {label.dtype}: a label has whole numbers, a class id a voxel.")
        if image.dtype != np.uint8:
            image = image.astype(np.float32)
        wrong = int(image.size - np.isfinite(image).sum()) if image.dtype.kind == "f" else 0
        if wrong:
            raise DataError(f"{name}['image'] holds {wrong} values that are NaN or infinite.")
        return Example(image, label.astype(np.int32), name)
