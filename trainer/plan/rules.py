"""From the fingerprint to values: each rule gives a field of the config, its value, and the figure behind it.

They are rules of thumb for U-Nets on little data, to be read, and to be overruled by those who know the data.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from configs.schema import Data
from trainer.data.check.remarks import mirrored_pairs
from trainer.plan import volumes
from trainer.plan.choice import Choice, size
from trainer.plan.fingerprint import Fingerprint

# A crop should show an object and its surroundings, as much again.
_AROUND = 2.5
_SMALLEST_CROP = 96
# Up to here a whole image is affordable on a processor; beyond, only crops are.
_WHOLE = 320
_BOTTOM = 8  # least pixels along a side at the bottom of the U-Net
_RARE = 0.02
# A trend is trusted if its mean is this many standard errors from zero.
_CERTAIN = 5.0


def choices(found: Fingerprint, section: Data) -> list[Choice]:
    """Everything that follows from the data alone; time and memory come after that, in `budget`."""
    if found.rank == 3:
        return [*volumes.choices(found, section), *_zoom(found)]
    crop = _crop(found)
    out = [crop, *_depth(crop.value)]
    out += [Choice("model.width", 16, "the start for time and memory, below")]
    out += [Choice("train.batch_size", 8, "the start for time and memory, below")]
    out += [*_scaling(found), *_orientation(found, section), *_zoom(found), *_colour(found)]
    out += [*_loss(found, crop.value), *_rates()]
    return out


def _crop(found: Fingerprint) -> Choice:
    median = found.median_size
    names = size(median)
    if max(median) <= _WHOLE:
        return Choice("augment.crop", tuple(map(_multiple, median)), f"whole images: their median is {names}")
    diameters = np.concatenate([found.diameters(c) for c in found.foreground] or [np.empty(0)])
    large = float(np.percentile(diameters, 90)) if len(diameters) else 0.0
    side = max(_SMALLEST_CROP, _AROUND * large)
    crop = tuple(_multiple(min(side, _WHOLE, length)) for length in median)
    reason = (
        f"parts of objects have a diameter of up to {large:.0f} pixels (90 %), times {_AROUND:g} for what is around"
    )
    if side > _WHOLE:
        reason += f"; no more than {_WHOLE}, since images of {names} are too large to be seen whole"
    return Choice("augment.crop", crop, reason)


def _multiple(side: float, of: int = 16) -> int:
    return max(of, int(math.ceil(side / of - 1e-9)) * of)


def _depth(crop: tuple[int, ...]) -> Iterator[Choice]:
    depth = int(np.clip(math.log2(min(crop) / _BOTTOM), 2, 5))
    at_the_bottom = size(side // 2**depth for side in crop)
    yield Choice("model.depth", depth, f"{at_the_bottom} pixels are left of a crop at the bottom")


def _scaling(found: Fingerprint) -> Iterator[Choice]:
    """Brightness by itself, or relative to the image: whichever separates the objects from their ground better."""
    if 0 in found.foreground:
        yield Choice(
            "model.input_scaling",
            "unit",
            "no class is the ground of the others: an image's own mean and deviation depend on which of them it shows",
        )
        return
    # NaN in all channels or in none: an image without objects, or without ground.
    inside = np.array([case.inside.mean() for case in found.cases])
    outside = np.array([case.outside.mean() for case in found.cases])
    spread = np.array([max(float((case.levels[:, 3] - case.levels[:, 1]).mean()), 1e-6) for case in found.cases])
    centre = np.array([float(case.levels[:, 2].mean()) for case in found.cases])
    both = np.isfinite(inside) & np.isfinite(outside)
    if both.sum() < 4:
        yield Choice(
            "model.input_scaling", "unit", "too few images hold objects and ground to compare their brightness"
        )
        return
    inside, outside, spread, centre = (values[both] for values in (inside, outside, spread, centre))
    absolute = _apart(inside, outside)
    relative = _apart((inside - centre) / spread, (outside - centre) / spread)
    # How much the ground differs between images, relative to the difference of objects and ground within an image.
    wandering = float(outside.std() / max(np.abs(inside - outside).mean(), 1e-6))
    figures = (
        f"objects and ground lie {absolute:.1f} deviations apart by brightness and {relative:.1f} within each image; "
        f"the ground's brightness wanders from image to image by {wandering:.1f} of the contrast"
    )
    if relative >= absolute and (relative > 1.2 * absolute or wandering > 0.5):
        yield Choice("model.input_scaling", "standardize", f"{figures}: each image to mean 0 and deviation 1")
    else:
        yield Choice("model.input_scaling", "unit", f"{figures}: brightness is kept as it is")


def _apart(first: np.ndarray, second: np.ndarray) -> float:
    """Distance of two means in deviations (Cohen's d)."""
    deviation = math.sqrt((first.var() + second.var()) / 2)
    return float(abs(first.mean() - second.mean()) / max(deviation, 1e-6))


def _orientation(found: Fingerprint, section: Data) -> Iterator[Choice]:
    pairs = mirrored_pairs(section.classes)
    if pairs:
        reason = f"the classes {', '.join(pairs)} would change places in a mirrored image"
        yield from (
            Choice(f"augment.{n}", False, reason) for n in ("flip_horizontal", "flip_vertical", "quarter_turns")
        )
        return
    scores = found.trend()[0]
    names = ("brightness", *(f"the share of {name!r}" for name in found.classes))
    strongest = int(np.abs(scores).argmax())
    upright = abs(scores[strongest]) > _CERTAIN
    errors = f"{abs(scores[strongest]):.1f} standard errors"
    figure = f"{names[strongest]} changes from top to bottom alike in most images ({errors})"
    free = f"neither brightness nor a class prefers the top or the bottom (at most {errors})"
    yield Choice("augment.flip_horizontal", True, "no class has a left and a right")
    yield Choice("augment.flip_vertical", not upright, figure if upright else free)
    yield Choice("augment.quarter_turns", not upright, "as above")


def _zoom(found: Fingerprint) -> Iterator[Choice]:
    """Zoom by how much the size of objects differs between images."""
    typical = [
        np.median(np.concatenate([case.parts[c] for c in found.foreground if c in case.parts]))
        for case in found.cases
        if any(c in case.parts for c in found.foreground)
    ]
    if len(typical) < 8:
        yield Choice("augment.scale", (0.8, 1.25), "too few images with objects to measure how their sizes differ")
        return
    low, middle, high = np.percentile(np.array(typical) ** (1 / found.rank), (10, 50, 90))
    # The square root of the data's own span: it fills gaps and does not double the range. Volumes are few.
    least, most = (0.95, 1.05) if found.rank == 2 else (0.85, 1.2)
    down, up = (
        round(float(np.clip(math.sqrt(r), *limits)), 2)
        for r, limits in ((low / middle, (0.7, least)), (high / middle, (most, 1.4)))
    )
    unit = "pixels" if found.rank == 2 else "mm"
    reason = f"an image's objects measure from {low:.0f} to {high:.0f} {unit} across (10 to 90 % of the images)"
    yield Choice("augment.scale", (down, up), reason)


def _colour(found: Fingerprint) -> Iterator[Choice]:
    # For each class by itself: an image of water is darker than one of sand, which distinguishes them.
    medians = np.array([case.medians for case in found.cases])  # [cases, classes, channels]
    deviation = float(np.clip(_between_images(found, medians.mean(axis=2, keepdims=True)), 0.0, 0.4))
    yield Choice(
        "augment.brightness",
        round(deviation / 2, 2),
        f"a class's brightness differs from image to image by {deviation:.0%} of the range (one deviation); half of "
        "that is added",
    )
    spreads = np.array([float((case.levels[:, 3] - case.levels[:, 1]).mean()) for case in found.cases])
    relative = float(np.clip(spreads.std() / max(spreads.mean(), 1e-6), 0.0, 0.3))
    yield Choice(
        "augment.contrast",
        round(relative / 2, 2),
        f"an image's contrast by {relative:.0%} of itself; half of that is added",
    )
    if found.channels == 3:
        tint = medians - medians.mean(axis=2, keepdims=True)
        colour = float(np.clip(_between_images(found, tint), 0.0, 0.2))
        yield Choice(
            "augment.color", round(colour / 2, 2), f"its tint by {colour:.0%} of the range; half of that is added"
        )


def _between_images(found: Fingerprint, values: np.ndarray) -> float:
    """How much `[cases, classes, channels]` differ between images, as a share of the range: the mean over channels and
    over the classes, by their shares of the pixels."""
    known = np.isfinite(values[:, :, 0])
    several = known.sum(axis=0) > 1
    if not several.any():
        return 0.0
    deviations = np.array([values[known[:, c], c].std(axis=0).mean() if s else 0.0 for c, s in enumerate(several)])
    shares = np.where(several, found.shares[: len(several)], 0.0)
    return float((deviations * shares).sum() / max(shares.sum(), 1e-12)) / 255


def _loss(found: Fingerprint, crop: tuple[int, ...]) -> Iterator[Choice]:
    share, empty = found.foreground_share, found.empty_crops(crop)
    figures = f"objects are on {share:.2%} of the pixels, and {empty:.0%} of the random crops hold none"
    if share < _RARE and len(found.foreground) < len(found.classes):
        yield Choice(
            "loss.name", "tversky+cross_entropy", f"{figures}: a missed pixel counts more than an invented one"
        )
        yield Choice(
            "loss.options", {"tversky": {"alpha": 0.3, "beta": 0.7}}, "0.7 for missed, 0.3 for invented pixels"
        )
    else:
        yield Choice("loss.name", "dice+cross_entropy", f"objects are on {share:.1%} of the pixels")
    rare = [name for name, seen in zip(found.classes, found.present, strict=True) if 0 < seen < 0.1 * len(found.cases)]
    if empty > 0.5:
        yield Choice("augment.foreground", 0.33, f"{figures}: a third of the crops is laid over one")
    elif rare and len(found.classes) > 2:
        yield Choice(
            "augment.foreground",
            0.33,
            f"{', '.join(rare)}: in less than a tenth of the images; a third of the crops is laid over one",
        )


def _rates() -> Iterator[Choice]:
    yield Choice(
        "optimizer.learning_rate", 3e-3, "AdamW on a U-Net of this width, with the rate falling to 1 % along a cosine"
    )
