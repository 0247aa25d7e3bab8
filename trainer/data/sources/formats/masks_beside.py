"""Masks beside their images in the folders of splits: Roboflow's "semantic segmentation masks", DeepGlobe and the like.

path/train/a.jpg   path/train/a_mask.png   path/train/_classes.csv   valid/, test/ alike       (Roboflow)
path/train/1_sat.jpg   path/train/1_mask.png   path/class_dict.csv                              (DeepGlobe)
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from configs.schema import Data
from trainer.data.errors import DataError, shown
from trainer.data.sources.formats.ade20k_full import described
from trainer.data.sources.formats.class_names import fields_of_table
from trainer.data.sources.formats.class_tables import above, find_table
from trainer.data.sources.formats.descriptions import stem_of
from trainer.data.sources.formats.mask_files import Placed, lonely, match, pair_splits
from trainer.data.sources.formats.tree import Tree, read_tree
from trainer.data.sources.names import core, is_called_mask, split_of
from trainer.data.sources.splits import Splits, nothing_in

TITLE = "masks beside their images"
HAS_MASK_FILES = True
_SATELLITE = re.compile(r"(?i)[_-](sat|rgb|im|image)$")


def recognise(tree: Tree) -> str:
    """By folders of splits with files in pairs, a.jpg and a_mask.png."""
    return ", ".join(f"{shown(folder)}/" for folder in _folders(tree)[:3])


def _folders(tree: Tree) -> list[str]:
    found = []
    for folder, names in tree.folders.items():
        if not folder or not split_of(folder + "/x") or len(names) < 2:
            continue
        if next(described(tree, folder), None):
            continue  # ADE20K's full release, whose masks have the number of a class in two of their colours
        images, masks = _parted(tree, folder)
        if len(images.keys() & masks.keys()) >= max(1, min(len(images), len(masks)) // 2):
            found.append(folder)
    return found


def _parted(tree: Tree, folder: str) -> tuple[dict[str, str], dict[str, str]]:
    inside = tree.pictures_in(folder)
    masks = {_key(path): path for path in inside if is_called_mask(stem_of(path))}
    return {_key(path): path for path in inside if path not in set(masks.values())}, masks


def _key(path: str) -> str:
    return core(_SATELLITE.sub("", stem_of(path)))


def open_splits(data: Data) -> Splits:
    """The splits of a folder whose masks lie beside the images."""
    tree = read_tree(os.path.expanduser(data.path))
    folders = _folders(tree)
    if not folders:
        return nothing_in(tree.root, "no train/ with files such as a.jpg and a_mask.png")
    problems: list[str] = []
    pairs: list[Placed] = []
    for folder in folders:
        inside = tree.pictures_in(folder)
        masks = [path for path in inside if is_called_mask(stem_of(path))]
        images = [path for path in inside if path not in set(masks)]
        matched = match(tree, images, masks, split_of(folder + "/x"), image_key=_key, mask_key=_key)
        problems += [*matched.problems, *lonely(tree, matched)]
        pairs += matched.pairs.values()
    notes = [f"recognised: {TITLE}, as {shown(pairs[0].mask)} beside {shown(pairs[0].image)}"]
    tables = [find_table(tree, (folder,), names=False) for folder in folders]
    known = {(t.colors, t.values) for t in tables if t is not None}
    if len(known) > 1:
        paths = ", ".join(t.path for t in tables if t is not None)
        raise DataError(f"{shown(tree.root)}: the tables of classes differ: {paths}.")
    fields: Mapping[str, Any] = {}
    table = next((t for t in tables if t is not None), None) or find_table(tree, above(pairs[0].image))
    if table is not None:
        fields, remarks = fields_of_table(tree, table, pairs, data)
        notes += remarks
    return pair_splits(tree, pairs, data, fields=fields, problems=problems, notes=notes)
