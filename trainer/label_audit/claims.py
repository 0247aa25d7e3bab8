"""What a prediction says against a label: regions of disagreement, and outlines that lie elsewhere.

A network is unsure where its objects end, and people draw outlines more or less tightly, so most pixels that differ lie
in thin seams and say nothing. A region counts as far as it is sure, deep, and the whole of something:

    evidence = margin^3 * radius / (radius + seam) * share

  margin  mean of p(predicted class) - p(labelled class) over the region's core, the half of its radius that is inside
  radius  of the largest disc in it, in pixels
  seam    the radius that one in twenty of the data's seams (regions with a share below one half, and rings) exceeds
  share   of the labelled object, or of the predicted one, that the region is; the larger of the two

Outlines count by how much more probable the label becomes if it is displaced as a whole, or made wider or narrower:

    evidence = (gain / (gain + n))^3    gain: of log-likelihood, for each pixel of the label's outline

n is 1 of a displacement and 4 of a width, in which people differ.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from scipy import ndimage

DROPPED, INVENTED, SWAPPED = "dropped object", "invented object", "swapped class"
SHIFTED, LOOSE = "shifted outline", "loose outline"
KINDS = (DROPPED, INVENTED, SWAPPED, SHIFTED, LOOSE)
_NEIGHBOURS = np.ones((3, 3), bool)
# Regions below so many pixels are not looked at.
_FEWEST = 9
# A region with a smaller share is a seam; one with a larger share than the other number is no ring.
_WHOLE, _NOT_A_RING = 0.5, 0.9
# A probability is taken for at least this: no single pixel proves anything.
_LEAST = 0.02
# Displacements that are tried: up to one in so many of the shorter side, and so many pixels.
_SHARE_OF_SIDE, _FARTHEST = 25, 32
# A smaller gain is one of rounding.
_LEAST_GAIN = 0.01
_NATS = {SHIFTED: 1.0, LOOSE: 4.0}


@dataclasses.dataclass(frozen=True)
class Claim:
    """One thing that a prediction says against a label.

    Attributes:
      kind: of `KINDS`.
      labelled, predicted: class ids; -1 where it speaks of the whole label.
      box: top, left, bottom, right: rows top … bottom - 1, columns left … right - 1.
      pixels: those that differ.
      margin, radius, share: of a region, see above.
      gain: of the whole label, see above.
      text: what would fit better, in words; of the whole label alone.
    """

    kind: str
    labelled: int
    predicted: int
    box: tuple[int, int, int, int]
    pixels: int
    margin: float = 0.0
    radius: float = 0.0
    share: float = 0.0
    gain: float = 0.0
    text: str = ""

    @property
    def whole_label(self) -> bool:
        return self.labelled < 0

    def evidence(self, seam: float) -> float:
        """0 … 1, by the formulas above."""
        if self.whole_label:
            return (self.gain / (self.gain + _NATS[self.kind])) ** 3
        return max(self.margin, 0.0) ** 3 * self.radius / (self.radius + seam) * self.share


def claims_of(
    label: np.ndarray, probabilities: np.ndarray, *, background: Sequence[int] = (), void_id: int = 255
) -> list[Claim]:
    """Everything that a prediction says against a label, seams among it.

    Args:
      label: class ids `[height, width]`.
      probabilities: of the classes, float `[height, width, classes]`.
      background: ids of classes that are no object; () where every pixel is of something.
      void_id: of pixels that are not judged, as is whatever else is no class.
    """
    classes = probabilities.shape[2]
    label = np.where((label == void_id) | (label < 0) | (label >= classes), -1, label)
    predicted = np.argmax(probabilities, axis=2)
    wrong = (label >= 0) & (predicted != label)
    if not wrong.any():
        return []
    claims, whole = _regions(label, predicted, wrong, probabilities, background)
    logs = np.log(np.clip(probabilities, _LEAST, 1.0))
    rows, columns = np.flatnonzero(wrong.any(axis=1)), np.flatnonzero(wrong.any(axis=0))
    box = (int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)
    for kind, (gain, text) in (
        (SHIFTED, _displaced(label, logs, background)),
        (LOOSE, _resized(label, logs, background, whole)),
    ):
        if gain > _LEAST_GAIN:
            claims.append(Claim(kind, -1, -1, box, int(wrong.sum()), gain=gain, text=text))
    return claims


def _regions(label, predicted, wrong, probabilities, background) -> tuple[list[Claim], np.ndarray]:
    """A claim for each connected region of a labelled and a predicted class; and which pixels are of whole things."""
    found, whole = [], np.zeros(label.shape, bool)
    parts = _parts(label), _parts(predicted)
    sizes = [np.bincount(each.ravel()) for each in parts]
    pairs = np.where(wrong, label * probabilities.shape[2] + predicted, -1)
    for pair in np.unique(pairs[wrong]).tolist():
        a, b = divmod(pair, probabilities.shape[2])
        regions, _ = ndimage.label(pairs == pair, _NEIGHBOURS)
        for number, box in enumerate(ndimage.find_objects(regions), start=1):
            here = regions[box] == number
            pixels = int(here.sum())
            if pixels < _FEWEST:
                continue
            depth = _depth(here, box, label.shape)
            radius = float(depth.max())
            core = depth >= max(1.0, radius / 2)
            margin = float((probabilities[box][core][:, b] - probabilities[box][core][:, a]).mean())
            touched = [np.unique(each[box][here]) for each in parts]
            areas = [size[ids].sum() for ids, size in zip(touched, sizes, strict=True)]
            share = float(pixels / min(areas))
            # A ring may be most of a small object: it is as thin as one.
            ring = share < _NOT_A_RING and radius < math.sqrt(min(areas) / math.pi) / 2
            seam = share < _WHOLE or ring
            kind = LOOSE if seam else DROPPED if a in background else INVENTED if b in background else SWAPPED
            whole[box] |= here & (not seam)
            corners = (box[0].start, box[1].start, box[0].stop, box[1].stop)
            found.append(Claim(kind, a, b, corners, pixels, margin, radius, share))
    return found, whole


def _parts(ids: np.ndarray) -> np.ndarray:
    """Connected parts of each class, numbered from 1 through all of them."""
    found, count = np.zeros(ids.shape, np.int64), 0
    for class_id in np.unique(ids[ids >= 0]).tolist():
        parts, more = ndimage.label(ids == class_id, _NEIGHBOURS)
        np.add(parts, count, out=found, where=parts > 0, casting="unsafe")
        count += more
    return found


def _depth(region: np.ndarray, box, shape) -> np.ndarray:
    """How far each pixel is from the region's outside; beyond the image's border nothing is outside."""
    margins = [(int(side.start > 0), int(side.stop < length)) for side, length in zip(box, shape, strict=True)]
    padded = np.pad(region, margins)
    if padded.all():
        return np.full(region.shape, float(max(region.shape)))
    depth = ndimage.distance_transform_edt(padded)
    return depth[tuple(slice(before, before + n) for (before, _), n in zip(margins, region.shape, strict=True))]


def _displaced(label: np.ndarray, logs: np.ndarray, background: Sequence[int]) -> tuple[float, str]:
    """The gain of the best displacement for each pixel of the outline, and the displacement in words.

    What is laid over the prediction are the objects, each pixel with the odds of its class against the background; of
    data without a background the inner part of the label, each pixel with its odds against the likeliest class. A
    correlation, by FFT.
    """
    most = min(_FARTHEST, min(label.shape) // _SHARE_OF_SIDE)
    outline = _outline_pixels(label)
    if most < 1 or not outline:
        return 0.0, ""
    if background:
        moved, against = np.where(np.isin(label, background), -1, label), logs[..., list(background)].max(axis=2)
    else:
        moved, against = np.full_like(label, -1), logs.max(axis=2)
        moved[most:-most, most:-most] = label[most:-most, most:-most]
        outline = max(outline, sum(label.shape))
    present = np.unique(moved[moved >= 0]).tolist()
    if not present:
        return 0.0, ""
    size = [length + most for length in label.shape]  # so that nothing comes in again at the other side
    steps = np.arange(-most, most + 1)
    gains = np.zeros((len(steps), len(steps)))
    for class_id in present:
        odds = np.fft.rfft2(logs[..., class_id] - against, size)
        objects = np.fft.rfft2((moved == class_id).astype(np.float32), size)
        gains += np.fft.irfft2(odds * np.conj(objects), size)[steps[:, None], steps]
    down, right = (int(steps[at]) for at in np.unravel_index(np.argmax(gains), gains.shape))
    gain = float(gains.max() - gains[most, most]) / outline
    ways = ((down, "lower", "higher"), (right, "to the right", "to the left"))
    words = [f"{abs(pixels)} px {forth if pixels > 0 else back}" for pixels, forth, back in ways if pixels]
    return (gain, "fits better " + " and ".join(words)) if words else (0.0, "")


def _resized(label, logs, background: Sequence[int], whole: np.ndarray) -> tuple[float, str]:
    """Likewise of all objects wider or narrower by some pixels; what is a dropped or invented whole does not count."""
    objects = (label >= 0) & ~np.isin(label, background)
    outline = _outline_pixels(label)
    if not background or not objects.any() or objects.all() or not outline:
        return 0.0, ""
    others = [c for c in range(logs.shape[2]) if c not in background]
    odds = logs[..., others].max(axis=2) - logs[..., list(background)].max(axis=2)
    odds = np.where((label >= 0) & ~whole, odds, 0.0)
    most = min(_FARTHEST, min(label.shape) // _SHARE_OF_SIDE)
    best, words = 0.0, ""
    for way, side, sign in (("wider", ~objects, 1.0), ("narrower", objects, -1.0)):
        distance = np.where(side, np.ceil(ndimage.distance_transform_edt(side)), most + 1).astype(int)
        gains = np.cumsum(np.bincount(np.minimum(distance, most + 1).ravel(), (sign * odds).ravel())[1 : most + 1])
        if gains.size and gains.max() / outline > best:
            best, words = float(gains.max()) / outline, f"fits better {int(np.argmax(gains)) + 1} px {way}"
    return best, words


def _outline_pixels(label: np.ndarray) -> int:
    """Pixels whose neighbour below or to the right is of another class."""
    edge = np.zeros(label.shape, bool)
    edge[:-1] |= label[1:] != label[:-1]
    edge[:, :-1] |= label[:, 1:] != label[:, :-1]
    return int(edge.sum())
