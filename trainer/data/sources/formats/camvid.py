"""CamVid's layouts: folders of images, each with a folder of masks named after it.

path/train/*.png  path/trainannot/*.png   val, test alike; numbers 0 … 11     (SegNet; CVAT with label_colors.txt)
path/train/*.png  path/train_labels/*_L.png   path/class_dict.csv; colours    (Kaggle)
path/701_StillsRaw_full/  path/LabeledApproved_full/*_L.png  path/label_colors.txt   (the original)
path/images/*.png  path/labels/*_P.png  path/codes.txt  path/valid.txt               (fast.ai)
"""

from __future__ import annotations

import collections
import dataclasses
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from configs.schema import Data
from trainer.data.errors import DataError, shown
from trainer.data.sources.formats.class_names import fields_of_table, held_by
from trainer.data.sources.formats.class_tables import above, find_table
from trainer.data.sources.formats.descriptions import read_text, stem_of
from trainer.data.sources.formats.mask_files import Placed, by_values, lonely, match, pair_splits, says_masks
from trainer.data.sources.formats.tree import Tree, read_tree
from trainer.data.sources.names import core, split_of
from trainer.data.sources.splits import Splits, nothing_in

TITLE = "CamVid"
HAS_MASK_FILES = True
# SegNet's eleven classes, by their ids.
SEGNET = "Sky Building Pole Road Pavement Tree SignSymbol Fence Car Pedestrian Bicyclist Unlabelled".split()
_SUFFIX = re.compile(r"(?i)^(.*?)[_\- ]?(annot|annots|annotations?|labels?|masks?|gt|targets?|segmentations?)$")
_OWN_NAMES = re.compile(r"(0001TP|0006R0|0016E5|Seq05VD)_")


def recognise(tree: Tree) -> str:
    """By folders such as train/ and trainannot/."""
    places = _places(tree)
    return ", ".join(f"{shown(images)}/ with {shown(masks)}/" for images, masks in places[:3])


def _places(tree: Tree) -> list[tuple[str, str]]:
    """(folder of images, folder of masks)."""
    found, beside = [], collections.defaultdict(list)
    with_files = sorted(folder for folder, names in tree.folders.items() if names)
    for folder in with_files:
        beside[folder.rpartition("/")[0]].append(folder)
    for masks in with_files:
        home, _, name = masks.rpartition("/")
        match_ = _SUFFIX.match(name)
        stem = match_[1] if match_ else ""
        if not stem and name.lower() not in ("labeledapproved_full", "labels"):
            continue
        for folder in beside[home]:
            other = folder.rpartition("/")[2]
            if folder == masks:
                continue
            wanted = {stem.lower(), f"{stem.lower()}_images", f"{stem.lower()}_image", f"{stem.lower()}_img"}
            raw = name.lower() == "labeledapproved_full" and other.lower().startswith("701_stillsraw")
            marked = name.lower() == "labels" and other.lower() == "images" and _is_marked(tree.folders[masks])
            if (other.lower() in wanted and stem) or raw or marked:
                if tree.pictures_in(folder) and tree.pictures_in(masks):
                    found.append((folder, masks))
    return found


def _is_marked(names: Sequence[str]) -> bool:
    """Whether masks are named like their images with _P or _L."""
    return bool(names) and all(re.search(r"_[LP]\.\w+$", name) for name in names[:20])


def open_splits(data: Data) -> Splits:
    """The splits of a folder in one of CamVid's layouts."""
    tree = read_tree(os.path.expanduser(data.path))
    places = _places(tree)
    if not places:
        return nothing_in(tree.root, "no folder with one of masks beside it, as train/ and trainannot/")
    problems: list[str] = []
    pairs: list[Placed] = []
    for images, masks in places:
        split = split_of(images + "/x") or split_of(f"{_first_word(images)}/x")
        matched = match(tree, tree.images(images), tree.images(masks), split, image_key=_key, mask_key=_key)
        problems += [*matched.problems, *lonely(tree, matched)]
        pairs += matched.pairs.values()
    held = _valid(tree, above(places[0][0] + "/x"))
    if held:
        pairs = [dataclasses.replace(p, split="validation" if stem_of(p.image) in held else "train") for p in pairs]
    read = ", ".join(f"{shown(images)}/ with masks in {shown(masks)}/" for images, masks in places[:3])
    notes = [f"recognised: {TITLE}'s layout, {read}"]
    if not pairs:
        fatal = (f"{shown(tree.root)}: no image and mask have the same name.",)
        return Splits(title=shown(tree.root), problems=tuple(problems), fatal=fatal)
    fields: Mapping[str, Any] = {}
    if not says_masks(data):
        fields, remarks = _fields(tree, pairs, data)
        notes += remarks
    return pair_splits(tree, pairs, data, fields=fields, problems=problems, notes=notes)


def _valid(tree: Tree, places: Sequence[str]) -> set[str]:
    """Stems of the images held out by valid.txt, as in fast.ai's copy."""
    path = next((p for place in places if tree.has(p := f"{place}/valid.txt" if place else "valid.txt")), None)
    return {stem_of(line.strip()) for line in read_text(tree.at(path)).split("\n") if line.strip()} if path else set()


def _first_word(folder: str) -> str:
    return re.split(r"[_\- ]", folder.rpartition("/")[2])[0]


def _key(path: str) -> str:
    """The name shared by image and mask: "0001TP_006690" of 0001TP_006690_L.png and 0001TP_006690_P.png."""
    stem = re.sub(r"_[LP]$", "", stem_of(path))
    return core(stem)


def _fields(tree: Tree, pairs: Sequence[Placed], data: Data) -> tuple[Mapping[str, Any], list[str]]:
    table = find_table(tree, above(pairs[0].image))
    if table is not None:
        return fields_of_table(tree, table, pairs, data)
    held = held_by(tree, pairs, data)
    if (held.colored and not held.indexed) or not held.mostly(range(12)):
        return {}, []
    if all(_OWN_NAMES.match(stem_of(placed.image)) for placed in pairs[:50]) or data.source == "camvid":
        return by_values(list(enumerate(SEGNET)), data), [
            "the eleven classes of SegNet's CamVid; 11, unlabelled, is void"
        ]
    if max(held.values) == 11 and not data.classes:
        raise DataError(
            f"{shown(tree.root)}: the masks hold 0 to 11, which could mean two things. Say which:\n"
            "    --config.data.source=camvid   # SegNet's classes of CamVid, 11 is void\n"
            f"    --config.data.mask_encoding=ids --config.data.classes={','.join(f'class_{n}' for n in range(12))}   "
            "# twelve classes"
        )
    return {}, []
