"""Pictures of volumes: three planes through the largest structure, each with image, label and prediction."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from PIL import Image
from scipy import ndimage

from trainer.data.volumes.resampling import resample
from trainer.reporting.panels import overlay

_GAP = 4
# Voxels of a volume examined for its largest structure.
_LOOKED_AT = 10_000_000


def largest_structure(mask: np.ndarray) -> tuple[int, int, int]:
    """The plane along each axis of bool `[d, h, w]` with most of the largest part; the middle if it is empty.

    In a large volume only every second or third voxel is examined, which needs little memory.
    """
    if not mask.any():
        return tuple(side // 2 for side in mask.shape)
    step = max(1, round((mask.size / _LOOKED_AT) ** (1 / 3)))
    small = mask[::step, ::step, ::step]
    small, step = (small, step) if small.any() else (mask, 1)
    parts, count = ndimage.label(small)
    part = parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:])) if count > 1 else small
    others = ((1, 2), (0, 2), (0, 1))
    return tuple(int(np.argmax(part.sum(axis=axes))) * step for axes in others)


@dataclasses.dataclass(frozen=True)
class Seen:
    """A volume as the network sees it, for planes on its file's grid.

    image: float32 `[depth, height, width, channels]`.
    shape: that of the file's grid.
    box: the part of that grid covered by the image; None is all.
    """

    image: np.ndarray
    shape: tuple[int, ...]
    box: Sequence[slice] | None = None

    def plane(self, axis: int, position: int) -> np.ndarray:
        """The first channel's plane across an axis, float32 0..255 on the file's grid; black where it is empty."""
        box = [slice(0, side) for side in self.shape] if self.box is None else self.box
        spans = [part.indices(side)[:2] for part, side in zip(box, self.shape, strict=True)]
        whole = np.zeros([side for other, side in enumerate(self.shape) if other != axis], np.float32)
        first, last = spans[axis]
        if not first <= position < last:
            return whole
        length = self.image.shape[axis]
        index = min(int((position - first + 0.5) * length / (last - first)), length - 1)
        cut = np.asarray(np.take(self.image[..., 0], index, axis=axis), np.float32)
        low, high = self._range()
        inside = [span for other, span in enumerate(spans) if other != axis]
        cut = resample(cut, [end - start for start, end in inside], (1, 1))
        place = tuple(slice(*span) for span in inside)
        whole[place] = np.clip((cut - low) * (255.0 / max(high - low, 1e-12)), 0, 255)
        return whole

    def _range(self) -> tuple[float, float]:
        """The percentiles 0.5 and 99.5 of the values, from a sample."""
        step = max(1, round((self.image[..., 0].size / 200_000) ** (1 / 3)))
        low, high = np.percentile(self.image[::step, ::step, ::step, 0], (0.5, 99.5))
        return float(low), float(high)


def planes(
    seen: Seen, masks: Sequence[np.ndarray], at: Sequence[int], spacing: Sequence[float], side: int
) -> list[list[np.ndarray]]:
    """Three planes of a volume and of masks through a voxel, upright, with pixels that are square in mm."""
    found = []
    for axis, position in enumerate(at):
        lengths = [length for other, length in enumerate(spacing) if other != axis]
        cut = [seen.plane(axis, position), *(np.take(mask, position, axis=axis) for mask in masks)]
        sizes = [pixels * length for pixels, length in zip(cut[0].shape, lengths, strict=True)]
        scale = side / max(sizes)
        size = tuple(max(1, round(pixels * scale)) for pixels in reversed(sizes))
        found.append([np.asarray(_enlarged(plane[::-1], size)) for plane in cut])
    return found


def _enlarged(plane: np.ndarray, size: tuple[int, int]) -> Image.Image:
    if plane.dtype.kind == "f":
        return Image.fromarray(np.asarray(plane, np.float32)).resize(size, Image.Resampling.BILINEAR)
    return Image.fromarray(np.asarray(plane, np.int32)).resize(size, Image.Resampling.NEAREST)


def volume_planes(
    image: np.ndarray,
    label: np.ndarray,
    prediction: np.ndarray,
    *,
    spacing: Sequence[float],
    box: Sequence[slice] | None,
    void_id: int,
    side: int = 192,
) -> dict[str, np.ndarray]:
    """Three planes through the label's largest structure, one under the other: the arrays for a `Panel`.

    Args:
      image: float32 `[d, h, w, channels]`, as the network sees it.
      label, prediction: class ids on the grid of the file.
      spacing: millimetres of the file's voxels.
      box: the part of the file's grid that the network sees; None is all.
      void_id: the id of voxels that are not counted.
      side: pixels of the longer side of a plane.
    """
    inside = (label > 0) & (label != void_id)
    at = largest_structure(inside if inside.any() else prediction > 0)
    cuts = planes(Seen(image, label.shape, box), (label, prediction), at, spacing, side)
    greys, labels, predictions = (
        stacked([cut[part] for cut in cuts], fill) for part, fill in enumerate((255, void_id, void_id))
    )
    rgb = np.repeat(np.clip(np.rint(greys), 0, 255).astype(np.uint8)[..., None], 3, axis=-1)
    return {"image": rgb, "low": 0.0, "high": 255.0, "label": labels, "prediction": predictions}


def volume_overlay(
    image: np.ndarray,
    mask: np.ndarray,
    *,
    spacing: Sequence[float],
    box: Sequence[slice] | None,
    classes: Sequence[str],
    side: int = 384,
) -> np.ndarray:
    """Three planes through the largest structure of a prediction, with its classes' colours over the image, RGB uint8.

    Args:
      image, spacing, box: as for `volume_planes`.
      mask: class ids `[d, h, w]` on the grid of the file.
      classes: names, by class id.
      side: pixels of the longer side of a plane.
    """
    at = largest_structure(mask > 0)
    cuts = planes(Seen(image, mask.shape, box), (mask,), at, spacing, side)
    return stacked([overlay(cut[0][..., None], cut[1], classes=classes) for cut in cuts])


def stacked(rows: Sequence[np.ndarray], fill: float = 255) -> np.ndarray:
    """Pictures `[h, w, …]` one under the other, with `fill` beside and between them."""
    width = max(row.shape[1] for row in rows)
    padded = [
        np.pad(row, ((0, _GAP), (0, width - row.shape[1]), *((0, 0) for _ in row.shape[2:])), constant_values=fill)
        for row in rows
    ]
    return np.concatenate(padded)[:-_GAP]
