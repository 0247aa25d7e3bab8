"""Pictures of masks: class colours, image | label | prediction panels, overlays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

# With black, which is kept for the background, eight colours that colour-blind people tell apart: Okabe and Ito (2008),
# "Color Universal Design"; also in Wong (2011), Nature Methods 8, 441.
_FIRST_COLORS = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
# Void is drawn in two greys, in stripes, as no class is.
_VOID_GREYS = (96, 160)
_STRIPE = 4
# White columns between the three pictures of a panel.
_GAP = 4


def class_colors(classes: Sequence[str]) -> np.ndarray:
    """A colour for each of 256 ids, uint8 `[256, 3]`: black for the background, then others, no two alike.

    Args:
      classes: names, by class id.
    """
    background = background_ids(classes)
    colors = np.zeros((256, 3), np.uint8)
    palette = (color for color in (*_FIRST_COLORS, *_more_colors()))
    for class_id in range(256):
        if class_id not in background:
            colors[class_id] = next(palette)
    return colors


def _more_colors() -> list[tuple[int, int, int]]:
    """The colour map of Pascal VOC (Everingham et al., 2010): the bits of an id dealt out to the three channels."""
    ids = np.arange(1, 256)
    colors = np.zeros((255, 3), np.int64)
    for bit in range(8):
        for channel in range(3):
            colors[:, channel] |= ((ids >> (3 * bit + channel)) & 1) << (7 - bit)
    return [tuple(color) for color in colors.tolist()]


def background_ids(classes: Sequence[str]) -> tuple[int, ...]:
    """Classes that are left unpainted: those called background, and the first of two."""
    named = tuple(i for i, name in enumerate(classes) if name.lower() in ("background", "bg"))
    return named or ((0,) if len(classes) == 2 else ())


def colored(mask: np.ndarray, classes: Sequence[str], void_id: int) -> np.ndarray:
    """Class ids `[height, width]` -> RGB uint8; void, and whatever is no class, in grey stripes.

    Of classes that overlap, `[height, width, classes]` of 0 and 1: the mean of the colours of those that a pixel has.
    """
    mask = np.asarray(mask)
    if mask.ndim == 3:
        rows, columns = np.indices(mask.shape[:2])
        stripes = np.take(np.array(_VOID_GREYS, np.uint8), (rows + columns) // _STRIPE % 2)
        mixed = np.rint(_mixed(mask == 1, classes)).astype(np.uint8)
        return np.where((mask == void_id).all(axis=2)[..., None], stripes[..., None], mixed)
    known = (mask >= 0) & (mask < len(classes)) & (mask != void_id)
    colors = class_colors(classes)[np.where(known, mask, 0) % 256]
    rows, columns = np.indices(mask.shape)
    stripes = np.take(np.array(_VOID_GREYS, np.uint8), (rows + columns) // _STRIPE % 2)
    return np.where(known[..., None], colors, stripes[..., None])


def _mixed(planes: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """The mean colour of the classes of each pixel, `[height, width, 3]`; black where it has none."""
    # The first of two is no background where they overlap; of three it is not taken for one.
    colors = class_colors((*classes, "", ""))[: planes.shape[2]]
    return planes.astype(np.float32) @ colors.astype(np.float32) / np.maximum(planes.sum(axis=2, keepdims=True), 1)


def rgb(image: np.ndarray) -> np.ndarray:
    """An image with values 0..255, float or uint8 -> RGB uint8 `[height, width, 3]`: its first three channels."""
    image = np.asarray(image)
    image = image if image.dtype == np.uint8 else np.clip(np.rint(image), 0, 255).astype(np.uint8)
    return np.repeat(image[..., :1], 3, axis=-1) if image.shape[-1] < 3 else image[..., :3]


def panel(
    image: np.ndarray,
    label: np.ndarray,
    prediction: np.ndarray,
    *,
    classes: Sequence[str],
    void_id: int,
    side: int = 384,
) -> np.ndarray:
    """Image, label and prediction side by side.

    Args:
      image: `[height, width, 1 or 3]`, values 0..255.
      label: class ids `[height, width]`, with void; or, as the prediction, `[height, width, classes]` of 0 and 1.
      prediction: class ids `[height, width]`.
      classes: names, by class id.
      void_id: the id of pixels that do not count.
      side: larger pictures are scaled down to this many pixels on their longer side.

    Returns:
      RGB uint8 `[h, 3 w + 2 gaps, 3]`.
    """
    scale = min(1.0, side / max(label.shape[:2]))
    size = tuple(max(1, round(pixels * scale)) for pixels in reversed(label.shape[:2]))
    pictures = [Image.fromarray(rgb(image)).resize(size, Image.Resampling.BILINEAR)]
    # Masks are shrunk before they are painted: there is no colour, and no void, between two classes.
    for mask in (label, prediction):
        planes = np.asarray(mask, np.int32).reshape(*mask.shape[:2], -1)
        small = [
            Image.fromarray(planes[:, :, k]).resize(size, Image.Resampling.NEAREST) for k in range(planes.shape[2])
        ]
        joined = np.dstack(small) if mask.ndim == 3 else np.asarray(small[0])
        pictures.append(Image.fromarray(colored(joined, classes, void_id)))
    strip = np.full((size[1], 3 * size[0] + 2 * _GAP, 3), 255, np.uint8)
    for position, picture in enumerate(pictures):
        left = position * (size[0] + _GAP)
        strip[:, left : left + size[0]] = np.asarray(picture)
    return strip


def overlay(image: np.ndarray, mask: np.ndarray, *, classes: Sequence[str], opacity: float = 0.4) -> np.ndarray:
    """The image with each class's colour over it and its outline in full colour; the background as it is.

    Args:
      image: `[height, width, 1 or 3]`, values 0..255.
      mask: class ids `[height, width]`, or `[height, width, classes]` of 0 and 1: classes that overlap.
      classes: names, by class id.
      opacity: share of the colour, 0..1.

    Returns:
      RGB uint8 `[height, width, 3]`.
    """
    made = np.array(rgb(image))
    if mask.ndim == 3:
        here = mask == 1
        edge = np.logical_or.reduce([_outline(here[:, :, k]) for k in range(here.shape[2])])
        share = np.where(edge, 1.0, opacity) * here.any(axis=2)
        return np.rint(made + share[..., None] * (_mixed(here, classes) - made)).astype(np.uint8)
    pixels, ids = made.reshape(-1, 3), mask.ravel()
    # Most of a picture is background: only what is painted is computed.
    painted = np.flatnonzero(~np.isin(ids, background_ids(classes)))
    colors = class_colors(classes)[ids[painted].astype(np.int64) % 256].astype(np.float32)
    share = np.where(_outline(mask).ravel()[painted], np.float32(1), np.float32(opacity))
    before = pixels[painted]
    pixels[painted] = np.rint(before + share[:, None] * (colors - before)).astype(np.uint8)
    return made


def _outline(mask: np.ndarray) -> np.ndarray:
    """Pixels with a neighbour (left, right, above, below) of another class."""
    edge = np.zeros(mask.shape, bool)
    down, right = mask[1:] != mask[:-1], mask[:, 1:] != mask[:, :-1]
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= right
    edge[:, :-1] |= right
    return edge
