"""--mode=check: every file of both splits is read once, and everything wrong or odd is reported by name."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from configs.reading.line_wrapping import columns
from configs.schema import Config
from trainer.data.check.facts import Facts, read_all
from trainer.data.check.remarks import (
    first_names,
    look_alikes,
    lost_brightness,
    mirrored_classes,
    oddities,
    rare_classes,
)
from trainer.data.errors import DataError, listed
from trainer.data.opening import open_splits


@dataclasses.dataclass(frozen=True)
class SplitAudit:
    """The contents of one split.

    examples: the number of usable ones.
    sizes: (height, width) of each; for volumes (depth, height, width), at the spacing of the prepared data.
    pixels: int64 `[classes + 1]`: pixels of each class, void last.
    images: int64 `[classes]`: examples with the class.
    area: pixels of all examples.
    brightness: mean and deviation of each image, over its channels.
    bands: the mean of each channel over the images, if there are more than three channels or they have names.
    several: pixels of two classes or more, where classes overlap; otherwise -1.
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
class DataCheck:
    """The result of a check.

    problems: files that cannot be used, or faults that leave nothing to train on: training would stop, or skip them.
    warnings: oddities that can be trained on but are probably not intended.
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


def check_data(
    config: Config, data: Any = None, *, progress: Callable[[int, int], None] = lambda done, total: None
) -> DataCheck:
    """Reads the whole data set of a config, or of an object, in parallel, without keeping it.

    Args:
      config: its data and augment sections are read.
      data: as `open_data` takes it.
      progress: called with the number of examples read and the total, for both splits together.

    Returns:
      the report; problems are collected, never raised.
    """
    try:
        opened, section = open_splits(config.data, data)
    except DataError as error:
        return DataCheck((), tuple(config.data.classes), (str(error),), ())
    problems = [*opened.fatal, *opened.problems, *opened.damage()]
    warnings = list(opened.notes)
    splits, digests, read = [], [], []
    readers = {"train": opened.train, "validation": opened.validation}
    undecided = opened.fatal and section.mask_encoding == "auto"
    readers = {name: reader for name, reader in readers.items() if reader is not None and not undecided}
    total, done = sum(len(reader.names) for reader in readers.values()), itertools.count(1)
    for name, reader in readers.items():
        facts = read_all(reader, section, problems, lambda: progress(next(done), total))
        read.append(facts)
        splits.append(_summary(name, facts, len(section.classes)))
        digests.append({fact.digest: fact.name for fact in facts})
        warnings += oddities(name, facts, splits[-1].pixels, config, section)
    for later, name in zip(digests[1:], ("validation",), strict=False):
        shared = [f"{later[d]} = {digests[0][d]}" for d in later if d in digests[0]]
        if shared:
            warnings.append(f"{len(shared)} images of the {name} split are also trained on: {first_names(shared)}")
    alike = look_alikes(*read) if len(read) == 2 else []
    if alike:
        warnings.append(
            f"{len(alike)} images of the validation split look almost like ones that are trained on: "
            f"{first_names(alike)}. If they are of one patient, scene or volume, keep it together: "
            "--config.data.group='(PATTERN of its name)'"
        )
    warnings += lost_brightness(read[0] if read else [], section, config)
    warnings += mirrored_classes(section, config) + rare_classes(read[0] if read else [], section, config)
    return DataCheck(tuple(splits), section.classes, tuple(problems), tuple(warnings), section.bands)


def _summary(name: str, facts: list[Facts], classes: int) -> SplitAudit:
    counts = np.array([fact.counts for fact in facts], np.int64).reshape(-1, classes + 1)
    sizes = tuple(fact.size for fact in facts)
    area = sum(math.prod(size) for size in sizes)
    several = sum(fact.several for fact in facts) if any(fact.several >= 0 for fact in facts) else -1
    images = (counts[:, :classes] > 0).sum(axis=0)
    brightness = tuple((float(np.mean(fact.means)), fact.deviation) for fact in facts)
    bands = tuple(np.mean([fact.means for fact in facts], axis=0)) if facts and len(facts[0].means) > 3 else ()
    return SplitAudit(name, len(facts), sizes, counts.sum(axis=0), images, area, several, brightness, bands)


def _split_text(split: SplitAudit, classes: tuple[str, ...], bands: tuple[str, ...] = ()) -> str:
    *depths, heights, widths = zip(*split.sizes, strict=True)
    wide, high = (f"{min(sides)} … {max(sides)}" for sides in (widths, heights))
    size = f"images, {wide} pixels wide and {high} high"
    if depths:
        size = f"volumes, {wide} voxels wide, {high} high and {min(depths[0])} … {max(depths[0])} deep"
    room = min(max(24, *map(len, classes)), max(columns() - 37, 24))  # what the other columns leave
    shown = [name if len(name) <= room else f"{name[: room - 1]}…" for name in classes]
    lines = [
        f"{split.name}: {split.examples} {size}",
        f"  {'id':>4}  {'class':<{room}} {'pixels':>8} {'images':>8} {'without':>8}",
    ]
    total = max(split.area, 1)
    for position, class_name in enumerate(shown):
        images = int(split.images[position])
        lines.append(
            f"  {position:>4}  {class_name:<{room}} {split.pixels[position] / total:>8.2%} {images:>8} "
            f"{split.examples - images:>8}"
        )
    lines.append(f"  {'':>4}  {'void':<{room}} {split.pixels[-1] / total:>8.2%}")
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
        lines.append(f"  {'':>4}  {'of two classes or more':<{room}} {split.several / total:>8.2%}")
    return "\n".join(lines)
