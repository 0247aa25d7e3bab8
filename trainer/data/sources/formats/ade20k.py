"""ADE20K's challenge data: images and annotations of 150 classes; 0 is void.

path/images/training/ADE_train_*.jpg   path/annotations/training/ADE_train_*.png   path/objectInfo150.txt
"""

from __future__ import annotations

import collections
import os
import re
from collections.abc import Sequence
from typing import Any

from configs.schema import Data
from trainer.data.errors import DataError, shown
from trainer.data.sources.formats.descriptions import read_rows, stem_of
from trainer.data.sources.formats.mask_files import Placed, by_values, lonely, match, pair_splits, says_masks
from trainer.data.sources.formats.tree import Tree, read_tree
from trainer.data.sources.names import split_of
from trainer.data.sources.splits import Splits, nothing_in

TITLE = "ADE20K"
HAS_MASK_FILES = True
_OWN_NAMES = re.compile(r"(?i)^ADE_(train|val|frame|test)_")
_COUNT = 150


def recognise(tree: Tree) -> str:
    """By objectInfo150.txt, or by files called ADE_train_…, with images/ and annotations/."""
    images, masks = _homes(tree)
    if not images or not masks:
        return ""
    table = _table(tree)
    own = next((path for path in tree.images(masks)[:1] if _OWN_NAMES.match(stem_of(path))), "")
    return table or own


def _homes(tree: Tree) -> tuple[str, str]:
    for masks in tree.called("annotations"):
        home = os.path.dirname(masks)
        images = next((f for f in tree.called("images") if os.path.dirname(f) == home), "")
        if images and tree.images(masks):
            return images, masks
    return "", ""


def _table(tree: Tree) -> str:
    return next((p for p in tree.files() if re.fullmatch(r"(?i)objectinfo\d*\.(txt|csv)", p.rsplit("/", 1)[-1])), "")


def open_splits(data: Data) -> Splits:
    """The splits of a folder in ADE20K's layout."""
    tree = read_tree(os.path.expanduser(data.path))
    images, masks = _homes(tree)
    if not images:
        return nothing_in(tree.root, "no images/ and annotations/")

    def below(folder: str):
        return lambda path: os.path.splitext(path[len(folder) + 1 :])[0]

    matched = match(tree, tree.images(images), tree.images(masks), image_key=below(images), mask_key=below(masks))
    pairs = [Placed(p.image, p.mask, split_of(p.image)) for p in matched.pairs.values()]
    # The test images of the challenge come without annotations.
    untested = tuple(path for path in matched.without if split_of(path) != "test")
    problems = [*matched.problems, *lonely(tree, type(matched)(matched.pairs, untested, matched.alone))]
    if not pairs:
        fatal = (f"{shown(tree.root)}: no image has the name of an annotation.",)
        return Splits(title=shown(tree.root), problems=tuple(problems), fatal=fatal)
    table = _table(tree)
    notes = [f"recognised: {TITLE}; 0 is void"]
    fields: dict[str, Any] = {}
    if not says_masks(data):
        entries = _entries(tree, table) if table else [(n, f"object_{n}") for n in range(1, _COUNT + 1)]
        notes.append(
            f"{len(entries)} classes of {table}" if table else "150 classes; objectInfo150.txt would name them"
        )
        fields = by_values([*entries, (0, "void")], data)
    return pair_splits(tree, pairs, data, fields=fields, problems=problems, notes=notes)


def _entries(tree: Tree, path: str) -> list[tuple[int, str]]:
    """(value, name): a class's first name, or all of its names where two classes share the first."""
    rows = read_rows(tree.at(path))
    header = [field.lower() for field in rows[0][1]]
    if "name" not in header or "idx" not in header:
        raise DataError(
            f"{tree.shown(path)}: its first line has to name Idx and Name. Received: {', '.join(header)[:60]}"
        )
    at, name_at = header.index("idx"), header.index("name")
    entries = []
    for number, fields in rows[1:]:
        if len(fields) <= max(at, name_at) or not fields[at].isdigit():
            raise DataError(f"{tree.shown(path)}:{number}: has no number and name: {', '.join(fields)[:60]}")
        entries.append((int(fields[at]), fields[name_at]))
    return short_names(entries)


def short_names(entries: Sequence[tuple[int, str]]) -> list[tuple[int, str]]:
    """(value, name) with a class's first name; all of its names where two classes share that, and the value, too."""
    short = [name.split(",")[0].split(";")[0].strip() for _, name in entries]
    shared, twins = collections.Counter(short), collections.Counter(name for _, name in entries)
    return [
        (value, first if shared[first] == 1 else name.replace(",", ";") + (f" {value}" if twins[name] > 1 else ""))
        for (value, name), first in zip(entries, short, strict=True)
    ]


def split_by_name(path: str) -> str:
    """The split in the name of one of ADE20K's files; "" for others."""
    found = _OWN_NAMES.match(stem_of(path))
    return {"train": "train", "val": "validation", "test": "test"}.get(found[1].lower(), "") if found else ""
