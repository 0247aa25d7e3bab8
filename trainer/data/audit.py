"""--mode=check: every file of both splits is read once, and everything that is wrong or odd is said by name."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
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
    sizes: (height, width) of each.
    pixels: int64 `[classes + 1]`: pixels of each class, void last.
    images: int64 `[classes]`: examples that have the class.
    area: pixels of all examples.
    several: those of two classes or more, where classes overlap; -1 where they do not.
    """

    name: str
    examples: int
    sizes: tuple[tuple[int, int], ...]
    pixels: np.ndarray
    images: np.ndarray
    area: int = 0
    several: int = -1


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

    @property
    def ok(self) -> bool:
        return not self.problems

    def text(self) -> str:
        """The report as it is printed."""
        parts = [_split_text(split, self.classes) for split in self.splits if split.examples]
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
    size: tuple[int, int]
    counts: np.ndarray
    constant: bool
    digest: bytes
    hash: np.ndarray
    several: int = -1


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
    warnings += _mirrored_classes(section, config) + _rare_classes(read[0] if read else [], section, config)
    return Audit(tuple(splits), section.classes, tuple(problems), tuple(warnings))


def mirrored_pairs(classes: Sequence[str]) -> list[str]:
    """Classes whose names differ in a side alone, "left kidney and right kidney": a mirrored image exchanges them."""
    names = {name.lower(): name for name in classes}
    pairs = []
    for name in classes:
        words = re.split(r"([_\-. ]+)", name.lower())
        for one, other in _SIDES:
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
    height, width = config.augment.crop
    empty = []
    for fact in facts:
        share = min(1.0, height * width / (fact.size[0] * fact.size[1]))
        # An image without foreground gives empty crops; of the others a crop sees about its share of the area.
        empty.append(1.0 if not fact.counts[first:-1].any() else 1.0 - min(1.0, 4.0 * share))
    mean = float(np.mean(empty))
    area = sum(fact.size[0] * fact.size[1] for fact in facts)
    foreground = sum(int(fact.counts[first:-1].sum()) for fact in facts) / max(area, 1)
    if mean < 0.5 or foreground > 0.02:
        return []
    return [
        f"foreground is {foreground:.2%} of the pixels, and about {mean:.0%} of the crops of {height} x {width} hold "
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
        constant=bool((example.image == example.image[0, 0]).all()),
        digest=hashlib.sha256(repr(example.image.shape).encode() + example.image.tobytes()).digest(),
        hash=perceptual_hash(example.image),
        several=several,
    )


def perceptual_hash(image: np.ndarray) -> np.ndarray:
    """Where brightness rises from left to right in 16 x 17 blocks, bool `[256]`: alike for images that look alike."""
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
    area = sum(height * width for height, width in sizes)
    several = sum(fact.several for fact in facts) if any(fact.several >= 0 for fact in facts) else -1
    images = (counts[:, :classes] > 0).sum(axis=0)
    return SplitAudit(name, len(facts), sizes, counts.sum(axis=0), images, area, several)


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
            f"images are smaller than the crop of {crop[0]} x {crop[1]} and are padded with void",
            [f.name for f in facts if f.size[0] < crop[0] or f.size[1] < crop[1]] if name == "train" else [],
        ),
    )
    found += [f"{name}: {len(names)} {what}: {_named(names)}" for what, names in by_test if names]
    seen: dict[bytes, str] = {}
    twins = [f"{f.name} = {seen[f.digest]}" for f in facts if seen.setdefault(f.digest, f.name) != f.name]
    if twins:
        found.append(f"{name}: {len(twins)} images occur twice: {_named(twins)}")
    return found


def _split_text(split: SplitAudit, classes: tuple[str, ...]) -> str:
    heights, widths = zip(*split.sizes, strict=True)
    lines = [
        f"{split.name}: {split.examples} images, {min(widths)} … {max(widths)} pixels wide and "
        f"{min(heights)} … {max(heights)} high",
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
    if split.several >= 0:
        lines.append(f"  {'':>4}  {'of two classes or more':<24} {split.several / total:>8.2%}")
    return "\n".join(lines)


def _named(names: list[str]) -> str:
    return ", ".join(names[:_MOST_NAMES]) + (f" and {len(names) - _MOST_NAMES} more" if names[_MOST_NAMES:] else "")
