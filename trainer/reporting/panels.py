"""Pictures of masks: class colours, panels of image, label, prediction and difference, overlays."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

# With black, which is kept for the background, eight colours that the colour-blind can distinguish: Okabe, Ito (2008),
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
# Void is drawn in stripes of two greys, unlike any class.
_VOID_GREYS = (96, 160)
_STRIPE = 4
# White rows and columns between the pictures of a panel, and the height of a line of text.
_GAP = 4
_LINE = 17
# A panel's pictures are at most this many pixels high and wide.
PANEL_SIDE = 224
# TensorBoard shows every picture this wide, and enlarges or shrinks others without smoothing, which spoils text.
CARD_WIDTH = 350
# Where label and prediction differ: colours that the colour-blind can distinguish, and that hardly any class has.
MISSED, INVENTED, CONFUSED = (213, 70, 0), (0, 90, 190), (170, 40, 150)
DIFFERENCES = {"missed": MISSED, "invented": INVENTED, "another class": CONFUSED}


def class_colors(classes: Sequence[str]) -> np.ndarray:
    """A colour for each of 256 ids, uint8 `[256, 3]`: black for the background, then others, all different.

    Args:
      classes: names, by class id.
    """
    return _colors(background_ids(classes)).copy()


# Prediction needs it twice for each image.
@functools.lru_cache(maxsize=32)
def _colors(background: tuple[int, ...]) -> np.ndarray:
    colors = np.zeros((256, 3), np.uint8)
    palette = (color for color in (*_FIRST_COLORS, *_more_colors()))
    for class_id in range(256):
        if class_id not in background:
            colors[class_id] = next(palette)
    return colors


def _more_colors() -> list[tuple[int, int, int]]:
    """The colour map of Pascal VOC (Everingham et al., 2010): the bits of an id go in turn to the three channels."""
    ids = np.arange(1, 256)
    colors = np.zeros((255, 3), np.int64)
    for bit in range(8):
        for channel in range(3):
            colors[:, channel] |= ((ids >> (3 * bit + channel)) & 1) << (7 - bit)
    return [tuple(color) for color in colors.tolist()]


def background_ids(classes: Sequence[str]) -> tuple[int, ...]:
    """Classes that are not painted: those called background, and the first of two."""
    named = tuple(i for i, name in enumerate(classes) if name.lower() in ("background", "bg"))
    return named or ((0,) if len(classes) == 2 else ())


def colored(mask: np.ndarray, classes: Sequence[str], void_id: int) -> np.ndarray:
    """Class ids `[height, width]` -> RGB uint8; void, and any other id, in grey stripes.

    For classes that overlap, `[height, width, classes]` of 0 and 1: the mean of the colours of a pixel's classes.
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
    colors = overlapping_colors(classes)[: planes.shape[2]]
    return planes.astype(np.float32) @ colors.astype(np.float32) / np.maximum(planes.sum(axis=2, keepdims=True), 1)


def overlapping_colors(classes: Sequence[str]) -> np.ndarray:
    """As `class_colors`, for classes that overlap: the first of two is not a background then."""
    return class_colors((*classes, "", ""))


def rgb(image: np.ndarray) -> np.ndarray:
    """An image with values 0..255, float or uint8 -> RGB uint8 `[height, width, 3]`: its first three channels."""
    image = np.asarray(image)
    image = image if image.dtype == np.uint8 else np.clip(np.rint(image), 0, 255).astype(np.uint8)
    return np.repeat(image[..., :1], 3, axis=-1) if image.shape[-1] < 3 else image[..., :3]


def shrunk(
    image: np.ndarray, label: np.ndarray, prediction: np.ndarray, *, side: int = PANEL_SIDE
) -> dict[str, np.ndarray]:
    """An image and its masks, each at most `side` pixels high and wide: the arrays for a `Panel`.

    Args:
      image: `[height, width, channels]`, values 0..255; the first three channels are shown.
      label, prediction: class ids `[height, width]`, or `[height, width, classes]` of 0 and 1: classes that overlap.
      side: larger ones are scaled down to this many pixels on their longer side.
    """
    scale = min(1.0, side / max(label.shape[:2]))
    size = tuple(max(1, round(pixels * scale)) for pixels in reversed(label.shape[:2]))
    stretched, low, high = stretch(image)
    masks = {}
    # Masks are shrunk before they are painted, so that no colour, or void, arises between two classes.
    for name, mask in (("label", label), ("prediction", prediction)):
        masks[name] = resized_mask(mask, size)
    picture = np.asarray(Image.fromarray(stretched).resize(size, Image.Resampling.BILINEAR))
    return {"image": picture, "low": low, "high": high, **masks}


def resized_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A mask, or a stack of them in the last axis, at another (width, height), by the nearest pixel."""
    planes = np.asarray(mask, np.int32).reshape(*mask.shape[:2], -1)
    small = [Image.fromarray(planes[:, :, k]).resize(size, Image.Resampling.NEAREST) for k in range(planes.shape[2])]
    return np.dstack(small) if mask.ndim == 3 else np.asarray(small[0])


def stretch(image: np.ndarray) -> tuple[np.ndarray, float, float]:
    """An image for a screen: RGB uint8, and the values shown as black and as white.

    An image whose middle 99 % of values span less than half of 0..255 (a dark micrograph) is stretched over all of it;
    others are shown unchanged.
    """
    values = np.asarray(image, np.float32)
    values = np.repeat(values[..., :1], 3, axis=-1) if values.shape[-1] < 3 else values[..., :3]
    low, high = (float(value) for value in np.percentile(values, (0.5, 99.5)))
    if not 0 < high - low < 127.5:
        low, high = 0.0, 255.0
    return np.clip(np.rint((values - low) * (255.0 / (high - low))), 0, 255).astype(np.uint8), low, high


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Panel:
    """The drawing of an image: itself, its label, its prediction and where these differ, two by two.

    Attributes:
      image: RGB uint8 `[height, width, 3]`, as returned by `stretch`.
      low, high: the image's values shown as black and as white.
      label, prediction: class ids `[height, width]`, or `[height, width, classes]` of 0 and 1.
      classes: names, by class id.
      void_id: the id of pixels that are not counted.
    """

    image: np.ndarray
    low: float
    high: float
    label: np.ndarray
    prediction: np.ndarray
    classes: tuple[str, ...]
    void_id: int

    @property
    def stretched(self) -> bool:
        return (self.low, self.high) != (0.0, 255.0)

    def difference(self) -> np.ndarray:
        """The image in pale grey, in colour where prediction and label differ; void in stripes."""
        grey = self.image.mean(axis=-1, keepdims=True) * 0.4 + 140.0
        picture = np.repeat(np.rint(grey), 3, axis=-1).astype(np.uint8)
        if self.label.ndim == 3:
            counted = (self.label != self.void_id).any(axis=2)
            missed = ((self.label == 1) & (self.prediction != 1)).any(axis=2)
            invented = ((self.label == 0) & (self.prediction == 1)).any(axis=2)
            for where, color in (
                (missed & ~invented, MISSED),
                (invented & ~missed, INVENTED),
                (missed & invented, CONFUSED),
            ):
                picture[where] = color
            return np.where(counted[..., None], picture, colored(self.label, self.classes, self.void_id))
        background = background_ids(self.classes)
        counted = (self.label != self.void_id) & (self.label >= 0) & (self.label < len(self.classes))
        wrong = counted & (self.label != self.prediction)
        of_label, of_prediction = ~np.isin(self.label, background), ~np.isin(self.prediction, background)
        picture[wrong & of_label & ~of_prediction] = MISSED
        picture[wrong & ~of_label & of_prediction] = INVENTED
        picture[wrong & of_label & of_prediction] = CONFUSED
        void = colored(self.label, self.classes, self.void_id)
        return np.where(counted[..., None], picture, void)

    def grid(self) -> np.ndarray:
        """RGB uint8 `[2 h + gap, 2 w + gap, 3]`: image and label above, prediction and difference below."""
        height, width = self.label.shape[:2]
        pictures = (
            self.image,
            colored(self.label, self.classes, self.void_id),
            colored(self.prediction, self.classes, self.void_id),
            self.difference(),
        )
        whole = np.full((2 * height + _GAP, 2 * width + _GAP, 3), 255, np.uint8)
        for number, picture in enumerate(pictures):
            top, left = (number // 2) * (height + _GAP), (number % 2) * (width + _GAP)
            whole[top : top + height, left : left + width] = picture
        return whole

    def _within(self, side: int) -> Panel:
        """The same panel, at most this many pixels wide."""
        height, width = self.label.shape[:2]
        if width <= side:
            return self
        size = (side, max(1, round(height * side / width)))

        return dataclasses.replace(
            self,
            image=np.asarray(Image.fromarray(self.image).resize(size, Image.Resampling.BILINEAR)),
            label=resized_mask(self.label, size),
            prediction=resized_mask(self.prediction, size),
        )

    def legend(self) -> list[tuple[str, tuple[int, int, int]]]:
        """(meaning, RGB colour) of the classes and differences in it."""
        if self.label.ndim == 3:
            here = ((self.label == 1) | (self.prediction == 1)).any(axis=(0, 1))
            present = np.flatnonzero(here).tolist()
            colors = overlapping_colors(self.classes)
        else:
            ids = np.union1d(self.label, self.prediction)
            present = [int(c) for c in ids if 0 <= c < len(self.classes) and c != self.void_id]
            colors = class_colors(self.classes)
        found = [(self.classes[c], tuple(int(v) for v in colors[c % 256])) for c in present]
        difference = self.difference()
        # Three comparisons: sorting the colours of every pixel took 0.5 s per evaluation.
        return found + [(text, c) for text, c in DIFFERENCES.items() if (difference == c).all(axis=-1).any()]

    def titled(self, title: str) -> np.ndarray:
        """The grid under a title and above a legend, RGB uint8 `[h, width, 3]`: for TensorBoard."""
        width = CARD_WIDTH
        grid = self._within((width - _GAP) // 2).grid()
        font = text_font(11)
        lines = _broken(title, font, width)
        chips, rows, x = self.legend(), [[]], 0
        # Sixty classes would hide the picture.
        more = [(f"and {len(chips) - 12} more", None)] if len(chips) > 12 else []
        for text, color in [*chips[:12], *more]:
            length = int(font.getlength(text)) + 28
            if x + length > width and rows[-1]:
                rows.append([])
                x = 0
            rows[-1].append((x, text, color))
            x += length
        height = _LINE * len(lines) + grid.shape[0] + 6 + _LINE * len(rows)
        picture = Image.new("RGB", (width, height), "white")
        draw = ImageDraw.Draw(picture)
        for number, line in enumerate(lines):
            draw.text((2, number * _LINE), line, fill="black", font=font)
        picture.paste(Image.fromarray(grid), (0, _LINE * len(lines)))
        top = _LINE * len(lines) + grid.shape[0] + 6
        for number, row in enumerate(rows):
            for x, text, color in row:
                if color is not None:
                    box = (x + 2, top + number * _LINE + 2, x + 13, top + number * _LINE + 13)
                    draw.rectangle(box, fill=color, outline="black")
                draw.text((x + 18, top + number * _LINE), text, fill="black", font=font)
        return np.asarray(picture)


def _broken(text: str, font, width: int) -> list[str]:
    """A line broken into lines that are not wider; a word may be cut."""
    lines, rest = [], text
    while rest:
        count = len(rest)
        while count > 1 and font.getlength(rest[:count]) > width - 4:
            count -= 1
        cut = rest.rfind(" ", 0, count) if count < len(rest) else -1
        count = cut if cut > 0 else count
        lines.append(rest[:count])
        rest = rest[count:].lstrip()
    return lines or [""]


@functools.cache
def text_font(size: int):
    """DejaVu Sans, which comes with matplotlib and has the letters of most alphabets."""
    import matplotlib

    return ImageFont.truetype(os.path.join(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size)


def overlay(image: np.ndarray, mask: np.ndarray, *, classes: Sequence[str], opacity: float = 0.4) -> np.ndarray:
    """The image with each class's colour over it and its outline in full colour; the background is unchanged.

    Args:
      image: `[height, width, 1 or 3]`, values 0..255.
      mask: class ids `[height, width]`, or `[height, width, classes]` of 0 and 1: classes that overlap.
      classes: names, by class id.
      opacity: share of the colour, 0..1.

    Returns:
      RGB uint8 `[height, width, 3]`.
    """
    return np.asarray(overlay_picture(image, mask, classes=classes, opacity=opacity))


def overlay_picture(
    image: np.ndarray, mask: np.ndarray, *, classes: Sequence[str], opacity: float = 0.4
) -> Image.Image:
    """As `overlay`, for a file: without conversion back to an array."""
    made = rgb(image)
    if mask.ndim == 3:
        here = mask == 1
        edge = np.logical_or.reduce([_outline(here[:, :, k]) for k in range(here.shape[2])])
        share = np.where(edge, 1.0, opacity) * here.any(axis=2)
        return Image.fromarray(np.rint(made + share[..., None] * (_mixed(here, classes) - made)).astype(np.uint8))
    ids = Image.fromarray(np.ascontiguousarray(mask % 256 if mask.dtype != np.uint8 else mask, np.uint8))
    background = background_ids(classes)
    painted = np.asarray(ids.point([0 if class_id in background else 255 for class_id in range(256)]))
    # Shares in 255ths: those of an outline, and of other painted pixels.
    level = round(255 * opacity)
    share = painted & (_outline(mask).view(np.uint8) * np.uint8(255 - level) + np.uint8(level))
    ids.putpalette(class_colors(classes).tobytes())
    # Pillow's loops are several times as fast as NumPy's on gathered pixels, and round in the same way.
    made = Image.fromarray(np.ascontiguousarray(made))
    made.paste(ids.convert("RGB"), mask=Image.fromarray(share))
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
