"""--mode=check: every file of both splits is read once, and everything that is wrong or odd is said by name."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import math
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from PIL import Image

from configs.schema import Config, Data
from trainer.data.errors import DataError, listed
from trainer.data.example import Example
from trainer.data.opening import open_splits

# Fewer threads than cores would idle; more than a few fight for the disk.
_THREADS = 4
_MOST_NAMES = 10
# Of 256 bits of a perceptual hash. Neighbouring slices of one volume differ in some ten, other images in about 100.
_ALIKE_BITS = 12
_MOST_COMPARED = 25_000_000
# A pair of classes whose names differ in this alone is exchanged by mirroring.
_SIDES = (("left", "right"), ("links", "rechts"), ("gauche", "droite"), ("l", "r"))


@dataclasses.dataclass(frozen=True)
class SplitAudit:
    """What one split holds.

    examples: the number of usable ones.
    sizes: (height, width) of each; of volumes (depth, height, width), at the spacing that they are prepared for.
    pixels: int64 `[classes + 1]`: pixels of each class, void last.
    images: int64 `[classes]`: examples that have the class.
    area: pixels of all examples.
    brightness: mean and deviation of each image, over its channels.
    bands: the mean of each channel over the images, where there are more than three or they have names.
    several: those of two classes or more, where classes overlap; -1 where they do not.
    """

    name: str
    examples: int
    sizes: tuple[tuple[int, ...], ...]
    pixels: np.ndarray
    images: np.ndarray
    area: int = 0
    several: int = -1
    brightness: tuple[tuple[float, float], ...] = ()
    bands: tuple[float, ...] = ()


@dataclasses.dataclass(frozen=True)
class Audit:
    """The result of a check.

    problems: files that cannot be used, and what leaves nothing to train on: training would stop, or skip them.
    warnings: what can be trained on and is probably not meant.
    """

    splits: tuple[SplitAudit, ...]
    classes: tuple[str, ...]
    problems: tuple[str, ...]
    warnings: tuple[str, ...]
    bands: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.problems

    def text(self) -> str:
        """The report as it is printed."""
        parts = [_split_text(split, self.classes, self.bands) for split in self.splits if split.examples]
        if self.warnings:
            parts.append("Worth a look:\n" + "\n".join(f"  - {warning}" for warning in self.warnings))
        if self.problems:
            count = f"{len(self.problems)} problems" if len(self.problems) > 1 else "A problem"
            parts.append(f"{count}:\n" + listed(self.problems))
        else:
            parts.append("No problems: every file can be used.")
        return "\n\n".join(parts)


@dataclasses.dataclass(frozen=True)
class _Facts:
    """What is kept of an example that could be read."""

    name: str
    size: tuple[int, ...]
    counts: np.ndarray
    constant: bool
    digest: bytes
    hash: np.ndarray
    several: int = -1
    means: tuple[float, ...] = ()
    deviation: float = 0.0
    # The mean outside of the objects; of the whole image where nothing is outside.
    background: float = 0.0


def audit(
    config: Config, data: Any = None, *, progress: Callable[[int, int], None] = lambda done, total: None
) -> Audit:
    """Reads the whole data set of a config, or of an object, in parallel, and keeps none of it.

    Args:
      config: its data and augment sections are read.
      data: as `open_data` takes it.
      progress: called with the number of examples read and of all, of both splits together.

    Returns:
      the report; problems are collected, never raised.
    """
    try:
        opened, section = open_splits(config.data, data)
    except DataError as error:
        return Audit((), tuple(config.data.classes), (str(error),), ())
    problems = [*opened.fatal, *opened.problems, *opened.damage()]
    warnings = list(opened.notes)
    splits, digests, read = [], [], []
    readers = {"train": opened.train, "validation": opened.validation}
    undecided = opened.fatal and section.mask_encoding == "auto"
    readers = {name: reader for name, reader in readers.items() if reader is not None and not undecided}
    total, done = sum(len(reader.names) for reader in readers.values()), itertools.count(1)
    for name, reader in readers.items():
        facts = _read_all(reader, section, problems, lambda: progress(next(done), total))
        read.append(facts)
        splits.append(_summary(name, facts, len(section.classes)))
        digests.append({fact.digest: fact.name for fact in facts})
        warnings += _oddities(name, facts, splits[-1], config, section)
    for later, name in zip(digests[1:], ("validation",), strict=False):
        shared = [f"{later[d]} = {digests[0][d]}" for d in later if d in digests[0]]
        if shared:
            warnings.append(f"{len(shared)} images of the {name} split are also trained on: {_named(shared)}")
    alike = _look_alikes(*read) if len(read) == 2 else []
    if alike:
        warnings.append(
            f"{len(alike)} images of the validation split look almost like ones that are trained on: {_named(alike)}. "
            "If they are of one patient, scene or volume, keep it together: --config.data.group='(PATTERN of its name)'"
        )
    warnings += _lost_brightness(read[0] if read else [], section, config)
    warnings += _mirrored_classes(section, config) + _rare_classes(read[0] if read else [], section, config)
    return Audit(tuple(splits), section.classes, tuple(problems), tuple(warnings), section.bands)


def _lost_brightness(facts: list[_Facts], section: Data, config: Config) -> list[str]:
    """What is lost where each image is brought to mean 0 and deviation 1, if it tells images apart that differ."""
    if config.model.input_scaling != "standardize" or config.model.name != "unet" or len(facts) < 4:
        return []
    first = 0 if section.multi_label else 1
    within = [bool(fact.counts[first:-1].any()) for fact in facts]
    groups = [
        [fact for fact, having in zip(facts, within, strict=True) if having is wanted] for wanted in (True, False)
    ]
    if min(map(len, groups)) < 2:
        return []
    (mean, spread, deviation), (empty_mean, empty_spread, empty_deviation) = map(_brightness_of, groups)
    remedy = "Without it: --config.model.input_scaling=unit (and normalization=batch) keeps the brightness"
    count = f"{len(groups[1])} of {len(facts)} training images hold no class but the first"
    if deviation >= 2 * empty_deviation:
        return [
            f"{count}, and vary by {empty_deviation:.0f} (deviation of the pixels, of 255), the others by "
            f"{deviation:.0f}: model.input_scaling=standardize stretches both to 1, so that the noise of the former "
            f"looks like what is bright in the latter. {remedy}"
        ]
    if abs(mean - empty_mean) >= 2 * max(spread, empty_spread, 1.0):
        return [
            f"{count}, and their mean is {empty_mean:.0f} of 255, that of the others' background {mean:.0f}: the "
            f"brightness tells them apart, and model.input_scaling=standardize takes it away. {remedy}"
        ]
    return []


def _brightness_of(facts: list[_Facts]) -> tuple[float, float, float]:
    """The median of the images' means outside of objects, how far these vary, and the median of their deviations."""
    means = [fact.background for fact in facts]
    return float(np.median(means)), float(np.std(means)), float(np.median([fact.deviation for fact in facts]))


def mirrored_pairs(classes: Sequence[str], sides: Sequence[tuple[str, str]] = _SIDES) -> list[str]:
    """Classes whose names differ in a side alone, "left kidney and right kidney": a mirrored image exchanges them."""
    names = {name.lower(): name for name in classes}
    pairs = []
    for name in classes:
        words = re.split(r"([_\-. ]+)", name.lower())
        for one, other in sides:
            if one in words:
                twin = "".join(other if word == one else word for word in words)
                pairs += [f"{name} and {names[twin]}"] if twin in names else []
    return pairs


def _mirrored_classes(section: Data, config: Config) -> list[str]:
    """What is to be said of classes that a mirrored image exchanges."""
    pairs = mirrored_pairs(section.classes)
    if not pairs or not (config.augment.flip_horizontal or config.augment.quarter_turns):
        return []
    return [
        f"the classes {', '.join(pairs)} change places in a mirrored image, and augmentation mirrors: write "
        "--config.augment.flip_horizontal=false --config.augment.quarter_turns=false "
        "--config.augment.flip_vertical=false, unless they are only names"
    ]


def _rare_classes(facts: list[_Facts], section: Data, config: Config) -> list[str]:
    """How many random crops would hold nothing but the first class, where that is most of them."""
    if not facts or (len(section.classes) < 2 and not section.multi_label) or config.augment.foreground:
        return []
    first = 0 if section.multi_label else 1  # classes that overlap have no background among them
    crop = tuple(config.augment.crop)
    empty = []
    for fact in facts:
        share = min(1.0, math.prod(crop) / math.prod(fact.size))
        # An image without foreground gives empty crops; of the others a crop sees about its share of the area.
        empty.append(1.0 if not fact.counts[first:-1].any() else 1.0 - min(1.0, 4.0 * share))
    mean = float(np.mean(empty))
    area = sum(fact.size[0] * fact.size[1] for fact in facts)
    foreground = sum(int(fact.counts[first:-1].sum()) for fact in facts) / max(area, 1)
    if mean < 0.5 or foreground > 0.02:
        return []
    return [
        f"foreground is {foreground:.2%} of the pixels, and about {mean:.0%} of the crops of {_by(crop)} hold "
        "none: --config.augment.foreground=0.33 lays a third of them over it, and --config.loss.name=tversky weighs it "
        "more"
    ]


def _read_all(reader, section: Data, problems: list[str], count: Callable[[], None]) -> list[_Facts]:
    def read(index: int) -> _Facts | str:
        try:
            return _facts(reader(index), section)
        except DataError as error:
            return str(error)

    with ThreadPoolExecutor(_THREADS) as pool:
        results = []
        for result in pool.map(read, range(len(reader.names))):
            results.append(result)
            count()
    found = (line for result in results if isinstance(result, str) for line in _separate(result))
    problems += [line for line in found if line not in problems]
    return [result for result in results if isinstance(result, _Facts)]


def _separate(text: str) -> list[str]:
    """One problem a line that is not indented: an image and its mask can both be bad."""
    problems: list[str] = []
    for line in text.split("\n"):
        if line.startswith(" ") and problems:
            problems[-1] += "\n" + line
        else:
            problems.append(line)
    return problems


def _facts(example: Example, section: Data) -> _Facts:
    classes, void_id, label = len(section.classes), section.void_id, example.label
    counts, several = np.zeros(classes + 1, np.int64), -1
    if section.multi_label and label is not None:
        here = label == 1
        counts = np.append(here.sum(axis=(0, 1)), (label == void_id).all(axis=2).sum()).astype(np.int64)
        several = int((here.sum(axis=2) > 1).sum())
    elif label is not None and label.dtype.kind in "iu":
        void = int((label == void_id).sum())
        # A void id may be negative, which cannot be counted by position; class 0 gives the pixels back.
        counts = np.append(np.bincount(np.where(label == void_id, 0, label).ravel(), minlength=classes), void)
        counts[0] -= void
    return _Facts(
        name=example.name,
        size=example.size,
        counts=counts,
        constant=bool((example.image == example.image[(0,) * len(example.size)]).all()),
        digest=hashlib.sha256(repr(example.image.shape).encode() + example.image.tobytes()).digest(),
        hash=perceptual_hash(example.image),
        several=several,
        means=tuple(example.image.mean(axis=tuple(range(example.image.ndim - 1)), dtype=np.float64).tolist()),
        deviation=float(example.image.std(dtype=np.float64)),
        background=_background(example, section),
    )


def _background(example: Example, section: Data) -> float:
    label, image = example.label, example.image
    if label is None or label.dtype.kind not in "iu":
        return float(image.mean(dtype=np.float64))
    outside = (label != 1).all(axis=2) if section.multi_label else label == 0
    return float(image[outside].mean(dtype=np.float64)) if outside.any() else float(image.mean(dtype=np.float64))


def perceptual_hash(image: np.ndarray) -> np.ndarray:
    """Where brightness rises from left to right in 16 x 17 blocks, bool `[256]`: alike for images that look alike."""
    # Of a volume its middle slice.
    image = image[len(image) // 2] if image.ndim == 4 else image
    grey = image.astype(np.float32).mean(axis=2)
    small = np.asarray(Image.fromarray(grey).resize((17, 16), Image.Resampling.BOX))
    return (small[:, 1:] > small[:, :-1]).ravel()


def alike(names: Sequence[str], hashes: np.ndarray) -> list[str]:
    """Pairs among images that look nearly the same; `hashes` is bool `[images, 256]`."""
    if len(names) ** 2 > _MOST_COMPARED:
        return []
    bits = hashes.astype(np.float32)
    differ = np.tril(np.full((len(names), len(names)), 256.0)) + bits @ (1 - bits.T) + (1 - bits) @ bits.T
    # One colour throughout has no bit set, and is like nothing.
    differ[~hashes.any(axis=1)] = 256.0
    return [f"{names[row]} ~ {names[column]}" for row, column in np.argwhere(differ <= _ALIKE_BITS)]


def _look_alikes(train: list[_Facts], validation: list[_Facts]) -> list[str]:
    """Pairs of a validation and a training image that look nearly the same, without those that are the same."""
    if not train or not validation or len(train) * len(validation) > _MOST_COMPARED:
        return []
    first, second = (np.stack([fact.hash for fact in facts]).astype(np.float32) for facts in (train, validation))
    # Bits that differ: those of one and not of the other, and the other way round.
    differ = second @ (1 - first.T) + (1 - second) @ first.T
    nearest = differ.argmin(axis=1)
    return [
        f"{fact.name} ~ {train[nearest[row]].name}"
        for row, fact in enumerate(validation)
        if differ[row, nearest[row]] <= _ALIKE_BITS and not fact.constant and fact.digest != train[nearest[row]].digest
    ]


def _summary(name: str, facts: list[_Facts], classes: int) -> SplitAudit:
    counts = np.array([fact.counts for fact in facts], np.int64).reshape(-1, classes + 1)
    sizes = tuple(fact.size for fact in facts)
    area = sum(math.prod(size) for size in sizes)
    several = sum(fact.several for fact in facts) if any(fact.several >= 0 for fact in facts) else -1
    images = (counts[:, :classes] > 0).sum(axis=0)
    brightness = tuple((float(np.mean(fact.means)), fact.deviation) for fact in facts)
    bands = tuple(np.mean([fact.means for fact in facts], axis=0)) if facts and len(facts[0].means) > 3 else ()
    return SplitAudit(name, len(facts), sizes, counts.sum(axis=0), images, area, several, brightness, bands)


def _oddities(name: str, facts: list[_Facts], split: SplitAudit, config: Config, section: Data) -> list[str]:
    if not facts:
        return []
    found = []
    present = [name for position, name in enumerate(section.classes) if split.pixels[position]]
    if len(present) == 1 and len(section.classes) > 1 and not section.multi_label:
        found.append(f"all pixels of the {name} split are {present[0]!r}: are these the right masks?")
    for position, class_name in enumerate(section.classes):
        if not split.pixels[position]:
            reason = "is never learnt" if name == "train" else "is never scored"
            found.append(
                f"class {class_name!r} ({position}) has no pixel in the {name} split: it {reason}. Is mask_encoding="
                f"{section.mask_encoding!r} with its table what the masks hold?"
            )
    crop = config.augment.crop
    by_test = (
        ("masks are void throughout", [f.name for f in facts if f.counts[-1] == f.size[0] * f.size[1]]),
        ("images have one colour throughout", [f.name for f in facts if f.constant]),
        (
            f"images are smaller than the crop of {_by(crop)} and are padded with void",
            [f.name for f in facts if any(side < least for side, least in zip(f.size, crop, strict=False))]
            if name == "train"
            else [],
        ),
    )
    found += [f"{name}: {len(names)} {what}: {_named(names)}" for what, names in by_test if names]
    seen: dict[bytes, str] = {}
    twins = [f"{f.name} = {seen[f.digest]}" for f in facts if seen.setdefault(f.digest, f.name) != f.name]
    if twins:
        found.append(f"{name}: {len(twins)} images occur twice: {_named(twins)}")
    return found


def _split_text(split: SplitAudit, classes: tuple[str, ...], bands: tuple[str, ...] = ()) -> str:
    *depths, heights, widths = zip(*split.sizes, strict=True)
    wide, high = (f"{min(sides)} … {max(sides)}" for sides in (widths, heights))
    size = f"images, {wide} pixels wide and {high} high"
    if depths:
        size = f"volumes, {wide} voxels wide, {high} high and {min(depths[0])} … {max(depths[0])} deep"
    lines = [
        f"{split.name}: {split.examples} {size}",
        f"  {'id':>4}  {'class':<24} {'pixels':>8} {'images':>8} {'without':>8}",
    ]
    total = max(split.area, 1)
    for position, class_name in enumerate(classes):
        images = int(split.images[position])
        lines.append(
            f"  {position:>4}  {class_name:<24} {split.pixels[position] / total:>8.2%} {images:>8} "
            f"{split.examples - images:>8}"
        )
    lines.append(f"  {'':>4}  {'void':<24} {split.pixels[-1] / total:>8.2%}")
    if split.brightness:
        means, deviations = np.percentile(np.array(split.brightness), (5, 95), axis=0).T
        lines.append(
            f"  brightness of the images (5 to 95 % of them): mean {means[0]:.0f} … {means[1]:.0f}, deviation "
            f"{deviations[0]:.0f} … {deviations[1]:.0f}"
        )
    if split.bands:
        names = [name for name in bands if name != "-"] or [f"band {k + 1}" for k in range(len(split.bands))]
        lines.append(
            "  mean of each channel: "
            + ", ".join(f"{name} {mean:.0f}" for name, mean in zip(names, split.bands, strict=False))
        )
    if split.several >= 0:
        lines.append(f"  {'':>4}  {'of two classes or more':<24} {split.several / total:>8.2%}")
    return "\n".join(lines)


def _by(sides: Sequence[int]) -> str:
    return " x ".join(map(str, sides))


def _named(names: list[str]) -> str:
    return ", ".join(names[:_MOST_NAMES]) + (f" and {len(names) - _MOST_NAMES} more" if names[_MOST_NAMES:] else "")
