"""The config.json of an earlier version, brought to today's fields.

The policy, which docs/outputs.md states for users: a run that any version from format 1 on has begun is read by every
later version.

- A new field needs nothing here: it is absent from an older file and takes its default, which is therefore always what
  the program did before there was such a field.
- A field that is renamed, removed, or means something else raises FORMAT by one and gets a step in STEPS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

FORMAT = 1
# The name under which a config.json holds its format.
KEY = "format"

# Of every version's files: what lacks them was not written by any.
_ALWAYS = ("name", "seed", "data", "augment", "model", "loss", "optimizer", "train")

# From format n to n + 1: the file's content, sections as dicts, in; the same with the new names out.
STEPS: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}


def migrate(tree: dict[str, Any]) -> dict[str, Any]:
    """The content of a config.json in today's format; `"format"` is taken out (absent before it was written: 1).

    Raises:
        ValueError: A newer version wrote it, or none did.
    """
    lacking = [name for name in _ALWAYS if name not in tree]
    if lacking:
        raise ValueError(f"Missing: {', '.join(lacking)}. No version writes a config without them.")
    tree = dict(tree)
    found = tree.pop(KEY, 1)
    if type(found) is not int or found < 1:
        raise ValueError(f"format: {found!r} is no number of a format; this version reads 1 to {FORMAT}.")
    if found > FORMAT:
        raise ValueError(
            f"A newer version wrote it (format {found}; this one reads up to {FORMAT}): go on with that one, or update."
        )
    for number in range(found, FORMAT):
        tree = STEPS[number](tree)
    return tree
