"""An example, and how each of its keys travels: cropped with the image, or unchanged."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from configs.schema import Data

# Keys that the pipeline adds to batches.
RESERVED = ("index", "valid", "size")


@dataclasses.dataclass(frozen=True)
class Example:
    """An image with everything that belongs to it.

    image: uint8 or float32 `[height, width, channels]`; for a volume `[depth, height, width, channels]`.
    label: integers `[height, width]` (class ids, or the data set's void id where no class is known), for classes that
      overlap `[height, width, classes]` (1, 0, or the void id), float32
      `[height, width]` or `[height, width, c]` (a target other than classes), or None where there is none; for a volume
      with its depth first.
    name: the user's name for it: the image's path inside the data set, "data[3]", a TFRecord file and a record number.
    extras: further keys; arrays whose first axes are the image's height and width follow the image.
    span: highest minus lowest value of a float image: the unit of its brightness. 255 for uint8.
    """

    image: np.ndarray
    label: np.ndarray | None
    name: str
    extras: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    span: float = 255.0

    @property
    def size(self) -> tuple[int, ...]:
        """Height and width in pixels; depth, height and width for a volume."""
        return self.image.shape[:-1]

    @property
    def beside_image(self) -> dict[str, np.ndarray]:
        """Everything but the image, by key."""
        return dict(self.extras) if self.label is None else {"label": self.label, **self.extras}

    @property
    def nbytes(self) -> int:
        arrays = [self.image, *([] if self.label is None else [self.label]), *self.extras.values()]
        return sum(array.nbytes for array in arrays)


@dataclasses.dataclass(frozen=True)
class Feature:
    """How one key travels from an example to a batch.

    kind: "picture" follows the image, resampled bilinearly and mirrored beyond its border; "ids" follows it, each pixel
      taken from the nearest; "values" is passed on unchanged.
    dtype: of the key in batches; object is text.
    shape: for "values" the whole shape; for the others the axes after those of space.
    outside: the value of "ids" beyond the border.
    """

    kind: Literal["picture", "ids", "values"]
    dtype: np.dtype
    shape: tuple[int, ...] = ()
    outside: int = 0

    @property
    def spatial(self) -> bool:
        return self.kind != "values"

    def batch_shape(self, *space: int | None) -> tuple[int | None, ...]:
        """The shape of one example's part of a batch, for images with these sides."""
        return (*space, *self.shape) if self.spatial else self.shape


def image_feature(channels: int) -> Feature:
    """How images travel, however they are stored: float32, uint8 ones with values 0 to 255."""
    return Feature("picture", np.dtype(np.float32), (channels,))


def label_feature(void_id: int, planes: int = 0) -> Feature:
    """How class ids travel, or for classes that overlap a plane of 0 and 1 each: int32, void beyond the border."""
    return Feature("ids", np.dtype(np.int32), (planes,) if planes else (), void_id)


def overlapping_features(data: Data) -> dict[str, Feature] | None:
    """How image and label travel where classes overlap; None, for the usual way, where they do not."""
    if not data.multi_label:
        return None
    return {"image": image_feature(data.channels), "label": label_feature(data.void_id, len(data.classes))}


def extra_feature(value: np.ndarray, size: tuple[int, int]) -> Feature:
    """How an extra key travels, judged by one of its values.

    Args:
      value: as returned by `as_array`.
      size: height and width of the image beside it.
    """
    if value.ndim < 2 or value.shape[:2] != tuple(size):
        kind = value.dtype.kind
        return Feature("values", np.dtype(object) if kind in "SUO" else value.dtype, value.shape)
    if value.dtype.kind == "f" or (value.dtype == np.uint8 and value.ndim == 3):
        return Feature("picture", np.dtype(np.float32), value.shape[2:])
    return Feature("ids", value.dtype, value.shape[2:])


def as_array(value: Any) -> np.ndarray:
    """A value of a user's example as an array: float64 and float16 become float32, the type of all computations."""
    array = np.asarray(value)
    return array.astype(np.float32) if array.dtype in (np.float64, np.float16) else array
