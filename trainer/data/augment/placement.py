"""Augmentation without state: (config, seed, example number) decides everything, image and label together.

Zoom, position, quarter turn and flips make a single window of the source image: it is resampled to the crop's size and
then turned. So only the pixels of the crop are ever resampled, and image and label cannot drift apart.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from PIL import Image

from configs.schema import Augment
from trainer.data.augment.draws import uniforms
from trainer.data.augment.warp import Warp, rotation


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where a crop lies and how it is turned.

    top, left, height, width: the window in source pixels; it may reach beyond the image. A window of the crop's own
      size lies on whole pixels.
    quarter_turns: turns by 90 degrees, counter-clockwise, after the window is resampled.
    flip_vertical, flip_horizontal: mirrored after turning.
    """

    top: float
    left: float
    height: float
    width: float
    quarter_turns: int = 0
    flip_vertical: bool = False
    flip_horizontal: bool = False


@dataclasses.dataclass(frozen=True)
class Draw:
    """One example's augmentation: `image * contrast about its mean + brightness`, at a placement."""

    placement: Placement
    # In a range of 255.
    brightness: float
    contrast: float
    # A factor for each of red, green and blue.
    gains: tuple[float, float, float] = (1.0, 1.0, 1.0)


def draw(augment: Augment, seed: int, number: int, size: tuple[int, int]) -> Draw:
    """The augmentation of example number `number` (counted over the whole run) in a run with this seed.

    Args:
      augment: the config's section.
      seed: the run's.
      number: step * batch_size + position in the global batch.
      size: height and width of the source image.
    """
    drawn = uniforms(seed, number, 11)
    zoom_at, down_at, right_at, turn_at, vertical_at, horizontal_at, bright_at, contrast_at = drawn[:8]
    low, high = augment.scale
    zoom = low * (high / low) ** zoom_at
    turns = int(turn_at * 4) if augment.quarter_turns else 0
    crop_height, crop_width = augment.crop if turns % 2 == 0 else augment.crop[::-1]
    height, width = crop_height / zoom, crop_width / zoom
    top, left = (size[0] - height) * down_at, (size[1] - width) * right_at
    if zoom == 1.0:
        # Whole pixels: nothing is resampled, the crop is a copy.
        height, width = crop_height, crop_width
        top, left = _whole(size[0] - height, down_at), _whole(size[1] - width, right_at)
    return Draw(
        Placement(
            top,
            left,
            height,
            width,
            turns,
            augment.flip_vertical and vertical_at < 0.5,
            augment.flip_horizontal and horizontal_at < 0.5,
        ),
        brightness=255.0 * augment.brightness * (2.0 * bright_at - 1.0),
        contrast=1.0 + augment.contrast * (2.0 * contrast_at - 1.0),
        gains=tuple(1.0 + augment.color * (2.0 * at - 1.0) for at in drawn[8:]),
    )


def draw_warp(augment: Augment, seed: int, number: int, placement: Placement) -> Warp | None:
    """The same window turned by any angle or bent, each in augment.share of the examples; None where it is neither."""
    if not (augment.rotate or augment.elastic):
        return None
    turns_at, bends_at, angle_at = uniforms(seed, number, 19)[16:]
    angle = (
        math.radians(augment.rotate) * (2.0 * angle_at - 1.0) if augment.rotate and turns_at < augment.share else 0.0
    )
    bends = augment.elastic > 0 and bends_at < augment.share
    if not (angle or bends):
        return None
    rows, cols = _before_turning(placement, augment.crop)
    scale = np.diag([placement.height / rows, placement.width / cols])
    matrix = rotation([angle], (1.0, 1.0)) @ scale
    centre = (placement.top + (placement.height - 1.0) / 2.0, placement.left + (placement.width - 1.0) / 2.0)
    turn = (0, 1, placement.quarter_turns)
    flips = (placement.flip_vertical, placement.flip_horizontal)
    return Warp((rows, cols), centre, matrix, (augment.elastic,) * 2 if bends else None, (seed, number), turn, flips)


def over_foreground(drawn: Draw, augment: Augment, label: np.ndarray, void_id: int, seed: int, number: int) -> Draw:
    """The draw, in augment.foreground of all examples with the window over a pixel of a class other than the first.

    Args:
      drawn: the result of `draw` for this example.
      augment: the config's section.
      label: class ids `[height, width]`; for classes that overlap `[height, width, classes]`, each of which counts.
      void_id: the id that is not a class.
      seed, number: as in `draw`.
    """
    happens, class_at, pixel_at, down_at, right_at = uniforms(seed, number, 16)[11:]
    if happens >= augment.foreground:
        return drawn
    if label.ndim == 3:
        present = np.flatnonzero((label == 1).any(axis=(0, 1))).tolist()
    else:
        present = [i for i in np.flatnonzero(np.bincount(label[label >= 0].ravel())).tolist() if i not in (0, void_id)]
    if not present:
        return drawn
    chosen = present[int(class_at * len(present))]
    pixels = np.flatnonzero(label[:, :, chosen] == 1 if label.ndim == 3 else label == chosen)
    y, x = divmod(int(pixels[int(pixel_at * len(pixels))]), label.shape[1])
    placed = drawn.placement
    top, left = y - down_at * (placed.height - 1), x - right_at * (placed.width - 1)
    # Not further outside the image than it has to be.
    low, high = sorted((0.0, label.shape[0] - placed.height))
    top = min(max(top, low), high)
    low, high = sorted((0.0, label.shape[1] - placed.width))
    left = min(max(left, low), high)
    if float(placed.height).is_integer() and float(placed.width).is_integer():
        top, left = math.floor(top), math.floor(left)
    return dataclasses.replace(drawn, placement=dataclasses.replace(placed, top=top, left=left))


def crop_image(image: np.ndarray, placement: Placement, crop: tuple[int, int]) -> np.ndarray:
    """The window of an image at the crop's size: bilinear, with anti-aliasing where it shrinks.

    Beyond its border the image is mirrored; the label is void there, so the pixels only have to look natural.

    Args:
      image: uint8 or float32 `[height, width, channels]`.
      placement: the window and its turns.
      crop: height and width of the result.
    Returns:
      the image's type, `[*crop, channels]`, possibly a view.
    """
    rows, cols = _before_turning(placement, crop)
    if (placement.height, placement.width) == (rows, cols):
        top, left = int(placement.top), int(placement.left)
        return _turned(_window(image, top, top + rows, left, left + cols), placement)
    # A margin of the filter's reach, so that a pixel at the window's edge sees its neighbours on both sides.
    reach = 2 + math.ceil(max(placement.height / rows, placement.width / cols))
    top, bottom = math.floor(placement.top) - reach, math.ceil(placement.top + placement.height) + reach
    left, right = math.floor(placement.left) - reach, math.ceil(placement.left + placement.width) + reach
    window = _window(image, top, bottom, left, right)
    y, x = placement.top - top, placement.left - left
    box = (x, y, x + placement.width, y + placement.height)
    return _turned(_resampled(window, (cols, rows), box), placement)


def _resampled(window: np.ndarray, size: tuple[int, int], box: tuple[float, float, float, float]) -> np.ndarray:
    """Bilinear; Pillow takes one channel of any type, and three of 8 bits together."""
    channels = window.shape[2]
    if channels == 3 and window.dtype == np.uint8:
        return np.asarray(Image.fromarray(window).resize(size, Image.Resampling.BILINEAR, box=box))
    resampled = np.empty((size[1], size[0], channels), window.dtype)
    for channel in range(channels):
        plane = Image.fromarray(np.ascontiguousarray(window[:, :, channel]))
        resampled[:, :, channel] = plane.resize(size, Image.Resampling.BILINEAR, box=box)
    return resampled


def crop_label(
    label: np.ndarray, placement: Placement, crop: tuple[int, int], void_id: int, dtype: np.dtype | type = np.int32
) -> np.ndarray:
    """The same window of a label: each pixel gets the id of the nearest source pixel, or void beyond the border.

    Args:
      label: integers `[height, width]` or `[height, width, …]`.
      placement: the window and its turns.
      crop: height and width of the result.
      void_id: the id beyond the border.
      dtype: of the result.
    Returns:
      `[*crop]` or `[*crop, …]`, possibly a view.
    """
    rows, cols = _before_turning(placement, crop)
    y = np.floor(placement.top + (np.arange(rows) + 0.5) * (placement.height / rows)).astype(np.int64)
    x = np.floor(placement.left + (np.arange(cols) + 0.5) * (placement.width / cols)).astype(np.int64)
    height, width = label.shape[:2]
    window = label[y.clip(0, height - 1)][:, x.clip(0, width - 1)].astype(dtype)
    if y[0] < 0 or y[-1] >= height:
        window[(y < 0) | (y >= height), :] = void_id
    if x[0] < 0 or x[-1] >= width:
        window[:, (x < 0) | (x >= width)] = void_id
    return _turned(window, placement)


def recolor(crop: np.ndarray, draw: Draw, out: np.ndarray, span: float = 255.0) -> None:
    """Colour, contrast, brightness: `(x - mean) * contrast + mean + brightness * span / 255`, where x is the image
    times its channels' gains, and mean is that of x over all channels. uint8 images are kept within 0..255.

    Args:
      crop: uint8 or float32 `[*space, channels]`, or one channel for all.
      draw: the example's draw.
      out: float32 `[*space, channels]`, written to.
      span: highest minus lowest value of the whole image: the unit of brightness.
    """
    # A single channel has no colour to change.
    tinted = out.shape[2] == 3 and draw.gains != (1.0, 1.0, 1.0)
    if draw.contrast == 1.0 and draw.brightness == 0.0 and not tinted:
        out[...] = crop
        return
    # One channel for all is changed once and written three times.
    work = out if tinted or crop.shape == out.shape else np.empty(crop.shape, np.float32)
    gains = np.array(draw.gains if tinted else (1.0,))
    shift = (crop.mean(axis=tuple(range(crop.ndim - 1))) * gains).mean() * (1.0 - draw.contrast) + draw.brightness * (
        span / 255.0
    )
    np.multiply(crop, (gains * draw.contrast).astype(np.float32), out=work)
    work += np.float32(shift)
    if crop.dtype == np.uint8:
        np.maximum(work, np.float32(0), out=work)
        np.minimum(work, np.float32(255), out=work)
    if work is not out:
        out[...] = work


def _whole(room: int, at: float) -> int:
    """One of the |room| + 1 whole positions between 0 and `room`, which is negative if the crop is larger."""
    return min(room, 0) + math.floor((abs(room) + 1) * at)


def _before_turning(placement: Placement, crop: tuple[int, int]) -> tuple[int, int]:
    return crop if placement.quarter_turns % 2 == 0 else (crop[1], crop[0])


def _turned(array: np.ndarray, placement: Placement) -> np.ndarray:
    array = np.rot90(array, placement.quarter_turns)
    if placement.flip_vertical:
        array = array[::-1]
    if placement.flip_horizontal:
        array = array[:, ::-1]
    return array


def _window(image: np.ndarray, top: int, bottom: int, left: int, right: int) -> np.ndarray:
    """Rows top:bottom and columns left:right, which may lie beyond the image: it is mirrored there."""
    height, width = image.shape[:2]
    inside = image[max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
    missing = ((max(-top, 0), max(bottom - height, 0)), (max(-left, 0), max(right - width, 0)), (0, 0))
    if any(before or after for before, after in missing):
        inside = np.pad(inside, missing, mode="symmetric")
    return inside
