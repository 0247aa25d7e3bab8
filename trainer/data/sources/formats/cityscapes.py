"""Cityscapes: photographs and label ids by city.

    path/leftImg8bit/train/aachen/*_leftImg8bit.png   path/gtFine/train/aachen/*_gtFine_labelIds.png (or _labelTrainIds)

The classes are the nineteen that are scored; others are void. CVAT's exports name their own in label_colors.txt.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from configs.schema import Data
from trainer.data.errors import DataError, shown
from trainer.data.sources.formats.class_names import held_by
from trainer.data.sources.formats.class_tables import above, find_table
from trainer.data.sources.formats.descriptions import stem_of
from trainer.data.sources.formats.mask_files import Placed, by_values, lonely, match, pair_splits, says_masks, void_note
from trainer.data.sources.formats.tree import Tree, read_tree
from trainer.data.sources.splits import Splits, nothing_in

TITLE = "Cityscapes"
HAS_MASK_FILES = True
# Names by train id, and the label id of each, as in cityscapesscripts.
CLASSES = {
    "road": 7, "sidewalk": 8, "building": 11, "wall": 12, "fence": 13, "pole": 17, "traffic light": 19,
    "traffic sign": 20, "vegetation": 21, "terrain": 22, "sky": 23, "person": 24, "rider": 25, "car": 26, "truck": 27,
    "bus": 28, "train": 31, "motorcycle": 32, "bicycle": 33,
}  # fmt: skip
_VOID_IDS = (0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30, 255)
_IMAGE = re.compile(r"(?i)_leftImg8bit$")
_MASK = re.compile(r"(?i)_gt(Fine|Coarse)_label(Train)?Ids$")


def recognise(tree: Tree) -> str:
    """By files called *_gtFine_labelIds or *_gtFine_labelTrainIds."""
    for folder, names in tree.folders.items():
        for name in names:
            if "ids." in name.lower() and _MASK.search(os.path.splitext(name)[0]):
                return f"{folder}/{name}" if folder else name
    return ""


def open_splits(data: Data) -> Splits:
    """The splits of a folder in Cityscapes' layout."""
    tree = read_tree(os.path.expanduser(data.path))
    files = tree.images("")
    masks = [path for path in files if _MASK.search(stem_of(path))]
    images = [path for path in files if _IMAGE.search(stem_of(path))]
    notes, problems = [], []
    kinds = {
        kind: [p for p in masks if re.search(rf"(?i)_{kind}$", stem_of(p))] for kind in ("labelTrainIds", "labelIds")
    }
    kind = "labelIds" if kinds["labelIds"] else "labelTrainIds"
    fine = [path for path in kinds[kind] if re.search("(?i)_gtFine_", stem_of(path))]
    if fine and len(fine) < len(kinds[kind]):
        notes.append(f"{len(kinds[kind]) - len(fine)} masks of gtCoarse are not read beside gtFine's")
    chosen = fine or kinds[kind]
    if not images or not chosen:
        return nothing_in(tree.root, f"no *_leftImg8bit.png with *_gtFine_{kind}.png")
    matched = match(
        tree,
        images,
        chosen,
        image_key=lambda path: _IMAGE.sub("", stem_of(path)),
        mask_key=lambda path: _MASK.sub("", stem_of(path)),
    )
    problems += [*matched.problems, *lonely(tree, matched)]
    notes.insert(0, f"recognised: {TITLE}, masks *_{kind}.png")
    pairs = list(matched.pairs.values())
    if not pairs:
        fatal = (f"{shown(tree.root)}: no image has the name of a mask.",)
        return Splits(title=shown(tree.root), problems=tuple(problems), fatal=fatal)
    fields: Mapping[str, Any] = {}
    if not says_masks(data):
        fields, remarks = _fields(tree, pairs, kind, data)
        notes += remarks
    return pair_splits(tree, pairs, data, fields=fields, problems=problems, notes=notes)


def _fields(tree: Tree, pairs: Sequence[Placed], kind: str, data: Data) -> tuple[Mapping[str, Any], list[str]]:
    table = find_table(tree, above(pairs[0].image), names=False)
    if table is not None:
        entries = list(enumerate(table.names))
        return by_values(entries, data), [f"classes of {table.path}, by its order", *void_note(entries)]
    held = held_by(tree, pairs, data)
    found = set(held.values)
    if kind == "labelTrainIds":
        entries = [(number, name) for number, name in enumerate(CLASSES)]
        known = {*range(len(CLASSES)), 255}
    else:
        entries = [(value, name) for name, value in CLASSES.items()]
        entries += [(value, "void") for value in _VOID_IDS]
        known = {value for value, _ in entries}
    if data.classes and not set(data.classes) & set(CLASSES):
        return {}, []
    strange = sorted(found - known)
    only_void = kind == "labelIds" and found and not found & set(CLASSES.values())
    if only_void or (strange and not held.mostly(known)):
        held = ", ".join(map(str, sorted(found)[:12]))
        why = f"{', '.join(map(str, strange[:8]))} are none of its ids" if strange else "all of these are void there"
        raise DataError(
            f"{shown(tree.root)}: the files are called as Cityscapes', but the masks hold {held}: {why}. If they are "
            "ids of your own: --config.data.source=pairs"
        )
    note = "the nineteen classes of Cityscapes; " + (
        "the other label ids are void" if kind == "labelIds" else "255 is void"
    )
    return by_values(entries, data), [note]
