"""Which examples are held out where the data have no split of their own: by name, or by group of names."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from configs.schema import Data
from trainer.data.errors import DataError, shown


def held_out(names: Sequence[str], data: Data) -> set[int]:
    """The indices of the validation examples: data.validation_fraction of them, at least one and not all.

    By a hash of the name, or of the group that data.group finds in it: examples added later leave the others on the
    side where they are, and no group is on both sides.

    None where all of them are wanted (data.split).

    Raises:
      DataError: data.group finds nothing in a name, or the same in all of them.
    """
    if data.split == "all":
        return set()
    groups: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        groups.setdefault(group_of(name, data.group), []).append(index)
    if len(groups) < 2:
        raise DataError(
            f"data.group={data.group!r} finds the same in all {len(names)} names, {shown(next(iter(groups)))!r}: "
            "nothing could be held out."
        )
    wanted = min(max(round(len(names) * data.validation_fraction), 1), len(names) - 1)
    chosen: set[int] = set()
    for group in sorted(groups, key=lambda group: rank(group, data.split_seed))[:-1]:
        if len(chosen) >= wanted:
            break
        chosen.update(groups[group])
    return chosen


def group_of(name: str, pattern: str) -> str:
    if not pattern:
        return name
    found = re.search(pattern, name)
    if not found:
        raise DataError(f"data.group={pattern!r} finds nothing in {shown(name)!r}; it has to name a group in each.")
    return found.group(1) if found.groups() and found.group(1) is not None else found.group()


def rank(name: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:".encode() + name.encode("utf-8", "surrogateescape")).digest()
