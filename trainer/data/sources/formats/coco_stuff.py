"""COCO-Stuff's pixel maps: PNG files of class numbers beside COCO's photographs.

    path/stuffthingmaps/train2017/*.png   path/train2017/*.jpg   path/labels.txt ("0: unlabeled", "1: person", …)

A pixel is the category's number minus 1, since labels.txt counts from 1; 255 is void.
"""

from __future__ import annotations

import os
from typing import Any

from configs.schema import Data
from trainer.data.errors import DataError, shown
from trainer.data.sources.formats.class_tables import read_table
from trainer.data.sources.formats.descriptions import stem_of
from trainer.data.sources.formats.mask_files import Placed, by_values, lonely, match, pair_splits, says_masks
from trainer.data.sources.formats.tree import Tree, read_tree
from trainer.data.sources.names import split_of
from trainer.data.sources.splits import Splits, nothing_in

TITLE = "COCO-Stuff's pixel maps"
HAS_MASK_FILES = True


def recognise(tree: Tree) -> str:
    """By a folder stuffthingmaps/ or pixelmaps/ with pictures."""
    folder = _folder(tree)
    return f"{shown(folder)}/" if folder else ""


def _folder(tree: Tree) -> str:
    return next(
        (f for f in tree.called("stuffthingmaps", "pixelmaps", "stuffthingmaps_trainval2017") if tree.images(f)), ""
    )


def open_splits(data: Data) -> Splits:
    """The splits of a folder with COCO-Stuff's pixel maps."""
    tree = read_tree(os.path.expanduser(data.path))
    folder = _folder(tree)
    if not folder:
        return nothing_in(tree.root, "no stuffthingmaps/ with pictures")
    masks = tree.images(folder)
    images = [path for path in tree.images("") if path not in set(masks)]
    matched = match(tree, images, masks, mask_key=lambda path: stem_of(path).removesuffix("_labelTrainIds"))
    # Photographs without a map belong to other tasks.
    problems = [*matched.problems, *lonely(tree, type(matched)(matched.pairs, (), matched.alone))]
    pairs = [Placed(p.image, p.mask, split_of(p.mask)) for p in matched.pairs.values()]
    if not pairs:
        fatal = (f"{shown(tree.root)}: no photograph has the name of a map in {shown(folder)}/.",)
        return Splits(title=shown(tree.root), problems=tuple(problems), fatal=fatal)
    notes, fields = [f"recognised: {TITLE}, {shown(folder)}/"], {}
    if not says_masks(data):
        fields, remarks = _fields(tree, data)
        notes += remarks
    return pair_splits(tree, pairs, data, fields=fields, problems=problems, notes=notes)


def _fields(tree: Tree, data: Data) -> tuple[dict[str, Any], list[str]]:
    path = next((path for path in tree.files(".txt") if path.rpartition("/")[2].lower() == "labels.txt"), None)
    table = read_table(tree, path) if path else None
    if table is None:
        return {}, ["labels.txt, which would name the classes, is not there"]
    entries = [(value - 1, name) for value, name in table.values if value > 0]
    if not entries:
        raise DataError(f"{tree.shown(path)}: names no class; a line is 1: person")
    return by_values(entries, data), [f"classes of {path}, whose numbers are one more than the pixels'"]
