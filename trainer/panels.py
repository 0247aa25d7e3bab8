"""Pictures of masks: class colours, image | label | prediction panels, overlays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

# Void is drawn in two greys, in stripes, as no class is.
_VOID_GREYS = (96, 160)
_STRIPE = 4
# Between the three pictures of a panel.
_GAP = 4


def palette(count: int = 256) -> np.ndarray:
    """Colours by class id, uint8 `[count, 3]`: the bit-interleaving colour map of Pascal VOC (Everingham et al., 2010).

    Class 0 is black; the first classes are far apart in colour.
    """
    ids = np.arange(count)
    colors = np.zeros((count, 3), np.int64)
    for bit in range(8):
        for channel in range(3):
            colors[:, channel] |= ((ids >> (3 * bit + channel)) & 1) << (7 - bit)
    return colors.astype(np.uint8)


def background_ids(classes: Sequence[str]) -> tuple[int, ...]:
    """Classes that are left unpainted: those called background, and the first of two."""
    named = tuple(i for i, name in enumerate(classes) if name.lower() in ("background", "bg"))
    return named or ((0,) if len(classes) == 2 else ())


def colored(mask: np.ndarray, classes: int, void_id: int) -> np.ndarray:
    """Class ids `[height, width]` -> RGB uint8; void, and whatever is no class, in grey stripes."""
    mask = np.asarray(mask)
    known = (mask >= 0) & (mask < classes) & (mask != void_id)
    colors = palette(max(classes, 1))[np.where(known, mask, 0)]
    rows, columns = np.indices(mask.shape)
    stripes = np.take(np.array(_VOID_GREYS, np.uint8), (rows + columns) // _STRIPE % 2)
    return np.where(known[..., None], colors, stripes[..., None])


def rgb(image: np.ndarray) -> np.ndarray:
    """An image `[height, width, 1 or 3]` with values 0..255, float or uint8 -> RGB uint8 `[height, width, 3]`."""
    image = np.clip(np.rint(np.asarray(image)), 0, 255).astype(np.uint8)
    return np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image


def panel(
    image: np.ndarray, label: np.ndarray, prediction: np.ndarray, *, classes: int, void_id: int, side: int = 384
) -> np.ndarray:
    """Image, label and prediction side by side.

    Args:
      image: `[height, width, 1 or 3]`, values 0..255.
      label: class ids `[height, width]`, with void.
      prediction: class ids `[height, width]`.
      classes: number of classes.
      void_id: the id of pixels that do not count.
      side: larger pictures are scaled down to this many pixels on their longer side.

    Returns:
      RGB uint8 `[h, 3 w + 2 gaps, 3]`.
    """
    scale = min(1.0, side / max(label.shape))
    size = tuple(max(1, round(pixels * scale)) for pixels in reversed(label.shape))
    pictures = [Image.fromarray(rgb(image)).resize(size, Image.Resampling.BILINEAR)]
    # Masks are shrunk before they are painted: there is no colour, and no void, between two classes.
    for mask in (label, prediction):
        small = Image.fromarray(np.asarray(mask, np.int32)).resize(size, Image.Resampling.NEAREST)
        pictures.append(Image.fromarray(colored(np.asarray(small), classes, void_id)))
    strip = np.full((size[1], 3 * size[0] + 2 * _GAP, 3), 255, np.uint8)
    for position, picture in enumerate(pictures):
        left = position * (size[0] + _GAP)
        strip[:, left : left + size[0]] = np.asarray(picture)
    return strip


def overlay(image: np.ndarray, mask: np.ndarray, *, classes: int, unpainted: Sequence[int] = (), opacity: float = 0.5):
    """The image with each class's colour over it and its outline in full colour; RGB uint8 `[height, width, 3]`.

    Args:
      image: `[height, width, 1 or 3]`, values 0..255.
      mask: class ids `[height, width]`.
      classes: number of classes.
      unpainted: ids that leave the image as it is.
      opacity: share of the colour, 0..1.
    """
    image = rgb(image)
    colors = palette(max(classes, 1))[mask].astype(np.float32)
    painted = ~np.isin(mask, list(unpainted))
    share = np.where(_outline(mask), 1.0, opacity) * painted
    return np.rint(image + share[..., None] * (colors - image)).astype(np.uint8)


def _outline(mask: np.ndarray) -> np.ndarray:
    """Pixels with a neighbour (left, right, above, below) of another class."""
    edge = np.zeros(mask.shape, bool)
    down, right = mask[1:] != mask[:-1], mask[:, 1:] != mask[:, :-1]
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= right
    edge[:, :-1] |= right
    return edge
