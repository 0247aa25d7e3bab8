"""Pictures of volumes: three planes through the largest structure, each with image, label and prediction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image
from scipy import ndimage

from trainer.data.volumes.resampling import resample
from trainer.reporting.panels import colored, overlay, rgb

_GAP = 4


def largest_structure(mask: np.ndarray) -> tuple[int, int, int]:
    """The planes along each axis of bool `[d, h, w]` that the largest part fills most; the middle where it is empty."""
    if not mask.any():
        return tuple(side // 2 for side in mask.shape)
    parts, count = ndimage.label(mask)
    part = parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:])) if count > 1 else mask
    others = ((1, 2), (0, 2), (0, 1))
    return tuple(int(np.argmax(part.sum(axis=axes))) for axes in others)


def grey(image: np.ndarray) -> np.ndarray:
    """The first channel of `[…, channels]` as float32 0..255: from 0.5 to 99.5 % of its values."""
    channel = np.asarray(image[..., 0], np.float32)
    sample = channel.reshape(-1)[:: max(1, channel.size // 200_000)]
    low, high = np.percentile(sample, (0.5, 99.5))
    return np.clip((channel - low) * (255.0 / max(float(high - low), 1e-12)), 0, 255)


def planes(
    arrays: Sequence[np.ndarray], at: Sequence[int], spacing: Sequence[float], side: int
) -> list[list[np.ndarray]]:
    """Three planes of arrays `[d, h, w]` through a voxel, up and down as a person stands, pixels square in mm."""
    found = []
    for axis, position in enumerate(at):
        lengths = [length for other, length in enumerate(spacing) if other != axis]
        cut = [np.take(array, position, axis=axis)[::-1] for array in arrays]
        sizes = [pixels * length for pixels, length in zip(cut[0].shape, lengths, strict=True)]
        scale = side / max(sizes)
        size = tuple(max(1, round(pixels * scale)) for pixels in reversed(sizes))
        found.append([np.asarray(_enlarged(plane, size)) for plane in cut])
    return found


def _enlarged(plane: np.ndarray, size: tuple[int, int]) -> Image.Image:
    if plane.dtype.kind == "f":
        return Image.fromarray(np.asarray(plane, np.float32)).resize(size, Image.Resampling.BILINEAR)
    return Image.fromarray(np.asarray(plane, np.int32)).resize(size, Image.Resampling.NEAREST)


def on_file_grid(image: np.ndarray, shape: Sequence[int], box: Sequence[slice] | None) -> np.ndarray:
    """The first channel of what the network sees, 0..255, where the file has it; black where that is empty."""
    seen = grey(image)
    if box is None:
        return seen
    inside = tuple(len(range(*part.indices(side))) for part, side in zip(box, shape, strict=True))
    whole = np.zeros(tuple(shape), np.float32)
    whole[tuple(box)] = seen if seen.shape == inside else resample(seen, inside, (1, 1, 1))
    return whole


def _beside(*pictures: np.ndarray) -> np.ndarray:
    """RGB pictures of one height side by side, with white between them."""
    white = np.full((pictures[0].shape[0], _GAP, 3), 255, np.uint8)
    parts = [part for picture in pictures for part in (white, picture)]
    return np.concatenate(parts[1:], axis=1)


def volume_panel(
    image: np.ndarray,
    label: np.ndarray,
    prediction: np.ndarray,
    *,
    spacing: Sequence[float],
    box: Sequence[slice] | None,
    classes: Sequence[str],
    void_id: int,
    side: int = 192,
) -> np.ndarray:
    """Image, label and prediction in three planes through the label's largest structure, one under the other.

    Args:
      image: float32 `[d, h, w, channels]`, as the network sees it.
      label, prediction: class ids on the grid of the file.
      spacing: millimetres of the file's voxels.
      box: of the file's grid, what the network sees; None is all.
      classes: names, by class id.
      void_id: the id of voxels that do not count.
      side: pixels of the longer side of a plane.

    Returns:
      RGB uint8.
    """
    inside = (label > 0) & (label != void_id)
    at = largest_structure(inside if inside.any() else prediction > 0)
    shown = on_file_grid(image, label.shape, box)
    rows = [
        _beside(rgb(cut[0][..., None]), *(colored(mask, classes, void_id) for mask in cut[1:]))
        for cut in planes((shown, label, prediction), at, spacing, side)
    ]
    return stacked(rows)


def volume_overlay(
    image: np.ndarray, mask: np.ndarray, *, spacing: Sequence[float], classes: Sequence[str], side: int = 384
) -> np.ndarray:
    """Three planes through the largest structure of a prediction, its classes' colours over the image.

    Args:
      image: float32 `[d, h, w]`, 0..255, on the mask's grid.
      mask: class ids `[d, h, w]`.
    """
    at = largest_structure(mask > 0)
    rows = [overlay(cut[0][..., None], cut[1], classes=classes) for cut in planes((image, mask), at, spacing, side)]
    return stacked(rows)


def stacked(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures one under the other, on white."""
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, _GAP), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
    return np.concatenate(padded)[:-_GAP]
