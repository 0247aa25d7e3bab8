"""Remarks of a check on the facts about all examples: oddities that can be trained on but are probably not intended."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np

from configs.schema import Config, Data
from trainer.data.check.facts import Facts
from trainer.data.check.look_alikes import ALIKE_BITS, MOST_COMPARED

_MOST_NAMES = 10
# Mirroring exchanges a pair of classes whose names differ only in this.
_SIDES = (("left", "right"), ("links", "rechts"), ("gauche", "droite"), ("l", "r"))


def oddities(name: str, facts: list[Facts], pixels: np.ndarray, config: Config, section: Data) -> list[str]:
    """Oddities in one split: classes without a pixel, void masks, images of one colour or too small, duplicates.

    Args:
      name: of the split.
      facts: about its examples.
      pixels: int64 `[classes + 1]`: pixels of each class, void last.
    """
    if not facts:
        return []
    found = []
    present = [name for position, name in enumerate(section.classes) if pixels[position]]
    if len(present) == 1 and len(section.classes) > 1 and not section.multi_label:
        found.append(f"all pixels of the {name} split are {present[0]!r}: are these the right masks?")
    for position, class_name in enumerate(section.classes):
        if not pixels[position]:
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
            f"images are smaller than the crop of {_in_pixels(crop)} and are padded with void",
            [f.name for f in facts if any(side < least for side, least in zip(f.size, crop, strict=False))]
            if name == "train"
            else [],
        ),
    )
    found += [f"{name}: {len(names)} {what}: {first_names(names)}" for what, names in by_test if names]
    seen: dict[bytes, str] = {}
    twins = [f"{f.name} = {seen[f.digest]}" for f in facts if seen.setdefault(f.digest, f.name) != f.name]
    if twins:
        found.append(f"{name}: {len(twins)} images occur twice: {first_names(twins)}")
    return found


def lost_brightness(facts: list[Facts], section: Data, config: Config) -> list[str]:
    """A remark that scaling each image to mean 0 and deviation 1 loses brightness, where that distinguishes images."""
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


def _brightness_of(facts: list[Facts]) -> tuple[float, float, float]:
    """The median of the images' means outside of objects, how far these vary, and the median of their deviations."""
    means = [fact.background for fact in facts]
    return float(np.median(means)), float(np.std(means)), float(np.median([fact.deviation for fact in facts]))


def mirrored_pairs(classes: Sequence[str], sides: Sequence[tuple[str, str]] = _SIDES) -> list[str]:
    """Classes whose names differ only in a side, "left kidney and right kidney": a mirrored image exchanges them."""
    names = {name.lower(): name for name in classes}
    pairs = []
    for name in classes:
        words = re.split(r"([_\-. ]+)", name.lower())
        for side, opposite in sides:
            if side in words:
                twin = "".join(opposite if word == side else word for word in words)
                pairs += [f"{name} and {names[twin]}"] if twin in names else []
    return pairs


def mirrored_classes(section: Data, config: Config) -> list[str]:
    """The remark on classes that a mirrored image exchanges."""
    pairs = mirrored_pairs(section.classes)
    if not pairs or not (config.augment.flip_horizontal or config.augment.quarter_turns):
        return []
    return [
        f"the classes {', '.join(pairs)} change places in a mirrored image, and augmentation mirrors: write "
        "--config.augment.flip_horizontal=false --config.augment.quarter_turns=false "
        "--config.augment.flip_vertical=false, unless they are only names"
    ]


def rare_classes(facts: list[Facts], section: Data, config: Config) -> list[str]:
    """The remark that most random crops would hold only the first class, with their share."""
    if not facts or (len(section.classes) < 2 and not section.multi_label) or config.augment.foreground:
        return []
    first = 0 if section.multi_label else 1  # classes that overlap have no background among them
    crop = tuple(config.augment.crop)
    empty = []
    for fact in facts:
        share = min(1.0, math.prod(crop) / math.prod(fact.size))
        # An image without foreground gives empty crops; in others a crop covers about its share of the area.
        empty.append(1.0 if not fact.counts[first:-1].any() else 1.0 - min(1.0, 4.0 * share))
    mean = float(np.mean(empty))
    area = sum(fact.size[0] * fact.size[1] for fact in facts)
    foreground = sum(int(fact.counts[first:-1].sum()) for fact in facts) / max(area, 1)
    if mean < 0.5 or foreground > 0.02:
        return []
    return [
        f"foreground is {foreground:.2%} of the pixels, and about {mean:.0%} of the crops of {_in_pixels(crop)} hold "
        "none: --config.augment.foreground=0.33 lays a third of them over it, and --config.loss.name=tversky weighs it "
        "more"
    ]


def look_alikes(train: list[Facts], validation: list[Facts]) -> list[str]:
    """Pairs of a validation and a training image that look nearly the same, without identical ones."""
    if not train or not validation or len(train) * len(validation) > MOST_COMPARED:
        return []
    first, second = (np.stack([fact.hash for fact in facts]).astype(np.float32) for facts in (train, validation))
    # Bits that differ: set in one and not in the other, and the reverse.
    differ = second @ (1 - first.T) + (1 - second) @ first.T
    nearest = differ.argmin(axis=1)
    return [
        f"{fact.name} ~ {train[nearest[row]].name}"
        for row, fact in enumerate(validation)
        if differ[row, nearest[row]] <= ALIKE_BITS and not fact.constant and fact.digest != train[nearest[row]].digest
    ]


def _in_pixels(sides: Sequence[int]) -> str:
    return " x ".join(map(str, sides))


def first_names(names: list[str]) -> str:
    """The first few names, and how many more there are."""
    return ", ".join(names[:_MOST_NAMES]) + (f" and {len(names) - _MOST_NAMES} more" if names[_MOST_NAMES:] else "")
