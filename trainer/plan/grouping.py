"""Which examples belong together, and whether folds pay off because few examples are scored."""

from __future__ import annotations

import re

from configs.schema import Data
from trainer.data.sources.splits import Splits
from trainer.plan.choice import Choice
from trainer.plan.fingerprint import Fingerprint

# The part before a name's last number: "patient_07" of "patient_07_slice_12.png", if that is how they are named.
_BEFORE_THE_NUMBER = r"(.+?)(?:[_\-. ][A-Za-z]+)?[_\-. ]?\d+(?:\.\w+)?$"
_FEWEST_GROUPS, _FEWEST_PAIRS, _SHARE = 5, 3, 0.9
# A mean over fewer examples depends on which ones they are.
_FEW = 50


def grouping(found: Fingerprint, splits: Splits, section: Data) -> list[Choice]:
    """data.group if images that look alike have names with the same start, such as the slices of a volume."""
    if section.group:
        return []
    names = [name for reader in (splits.train, splits.validation) if reader is not None for name in reader.names]
    matches = [re.search(_BEFORE_THE_NUMBER, name) for name in names]
    if not all(matches):
        return []
    group = {name: match.group(1) for name, match in zip(names, matches, strict=True)}
    pairs = [pair.split(" ~ ") for pair in found.alike()]
    together = sum(group.get(first) == group.get(second) for first, second in pairs)
    groups = set(group.values())
    if len(pairs) < _FEWEST_PAIRS or together < _SHARE * len(pairs) or not _FEWEST_GROUPS <= len(groups) < len(names):
        return []
    first, second = next(pair for pair in pairs if group.get(pair[0]) == group.get(pair[1]))
    reason = (
        f"{together} of {len(pairs)} pairs of images that look almost the same ({first}, {second}) have one name "
        f"before their last number: {len(groups)} patients, scenes or volumes, each on one side of a split, in one fold"
    )
    return [Choice("data.group", _BEFORE_THE_NUMBER, reason)]


def advice(found: Fingerprint, grouped: bool) -> list[str]:
    """Advice about the split."""
    out, pairs = [], found.alike()
    if pairs and not grouped:
        out.append(
            f"{len(pairs)} pair(s) of training {found.images} look almost the same "
            f"({', '.join(pairs[:3])}{', …' if pairs[3:] else ''}): where they are of one patient, scene or volume, "
            "keep it together by data.group='(PATTERN of its name)'"
        )
    if 0 < found.validation < _FEW:
        both = found.examples + found.validation
        out.append(
            f"{found.validation} {found.images} are scored, and which ones these are decides on the score; "
            f"--mode=crossvalidate --config=THIS_FILE --config.data.folds=5 scores all {both}, each by a network that "
            "has not seen it, in five times the time"
        )
    return out
