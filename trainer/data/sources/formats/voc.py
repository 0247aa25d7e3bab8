"""Pascal VOC's layout, as of VOC itself, CVAT and Datumaro ("Pascal VOC", "Segmentation mask") and labelme2voc.

    path/…/JPEGImages/*.jpg   path/…/SegmentationClass/*.png   path/…/ImageSets/Segmentation/train.txt, val.txt
    path/…/labelmap.txt       names with colours, if written by CVAT

The ids are a palette's indices, or come from colours by labelmap.txt or VOC's own palette. 255, the border, is void.
"""

from __future__ import annotations

import collections
import os
from collections.abc import Mapping, Sequence
from typing import Any

from configs.schema import Data
from trainer.data.errors import DataError, shown
from trainer.data.sources.formats.class_names import fields_of_table, held_by
from trainer.data.sources.formats.class_tables import find_table
from trainer.data.sources.formats.descriptions import read_text, read_xml, stem_of
from trainer.data.sources.formats.mask_files import (
    Matched,
    Placed,
    by_colors,
    by_values,
    lonely,
    match,
    most,
    pair_splits,
    says_masks,
)
from trainer.data.sources.formats.tree import Tree, read_tree
from trainer.data.sources.splits import Splits, nothing_in

TITLE = "Pascal VOC"
HAS_MASK_FILES = True
CLASSES = (
    "background aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person "
    "pottedplant sheep sofa train tvmonitor"
).split()
_BORDER = (224, 224, 192)
_MASKS = ("segmentationclass", "segmentationclasspng", "segmentationclassaug")
_SPLITS = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}


def recognise(tree: Tree) -> str:
    """By a folder SegmentationClass/ with images in it, beside JPEGImages/ or lists of ImageSets/."""
    return next((f"{shown(masks)}/ with {shown(images)}/" for _, images, masks in _places(tree)), "")


def _places(tree: Tree) -> list[tuple[str, str, str]]:
    """(home, folder of images, folder of masks): VOC2007 and VOC2012 may lie side by side."""
    found: dict[str, tuple[str, str, str]] = {}
    for kind in _MASKS:
        for masks in tree.called(kind):
            home = os.path.dirname(masks)
            inside = [f for f in tree.folders if os.path.dirname(f) == home and f]
            images = next((f for f in inside if f.rpartition("/")[2].lower() == "jpegimages"), "")
            lists = any(f.rpartition("/")[2].lower() == "imagesets" for f in inside)
            if home not in found and (images or lists) and tree.images(masks):
                found[home] = (home, images or (f"{home}/JPEGImages" if home else "JPEGImages"), masks)
    return list(found.values())


def open_splits(data: Data) -> Splits:
    """The splits of a folder in VOC's layout."""
    tree = read_tree(os.path.expanduser(data.path))
    places = _places(tree)
    if not places:
        return nothing_in(tree.root, "no SegmentationClass/ with masks beside JPEGImages/")
    problems: list[str] = []
    pairs: list[Placed] = []
    notes = [f"recognised: {TITLE}, {', '.join(f'{shown(masks)}/' for _, _, masks in places)}"]
    for home, images, masks in places:
        pairs += _pairs(tree, home, images, masks, problems, notes)
    if not pairs:
        where = f"{shown(tree.at(places[0][1]))}/"
        fatal = f"{where}: no image that can be used has the stem of a mask in {shown(places[0][2])}/."
        return Splits(title=shown(tree.root), problems=tuple(problems), fatal=(fatal,))
    fields: Mapping[str, Any] = {}
    if not says_masks(data):
        fields, remarks = _fields(tree, [home for home, _, _ in places], pairs, data)
        notes += remarks
    return pair_splits(tree, pairs, data, fields=fields, problems=problems, notes=notes)


def _pairs(tree: Tree, home: str, images: str, masks: str, problems: list[str], notes: list[str]) -> list[Placed]:
    def below(folder: str):
        return lambda path: os.path.splitext(path[len(folder) + 1 :])[0]

    matched = match(tree, tree.images(images), tree.images(masks), image_key=below(images), mask_key=below(masks))
    problems += matched.problems
    lists = _lists(tree, home)
    if not lists:
        detection = any(f.rpartition("/")[2] == "Annotations" for f in tree.folders)
        if matched.without and detection:
            notes.append(f"{len(matched.without)} images without a mask are not read: {most(matched.without)}")
            matched = Matched(matched.pairs, (), matched.alone)
        problems += lonely(tree, matched)
        return list(matched.pairs.values())
    return _listed(tree, lists, matched, images, masks, problems, notes)


def _lists(tree: Tree, home: str) -> dict[str, str]:
    """Split -> its list; if there is none, "" -> a list of no split, such as trainval.txt."""
    found: dict[str, str] = {}
    prefix = f"{home}/" if home else ""
    for place in ("ImageSets/Segmentation", "ImageSets", ""):
        folder = (prefix + place).rstrip("/")
        texts = {stem_of(name).lower(): name for name in tree.folders.get(folder, ()) if name.lower().endswith(".txt")}
        for stem, split in _SPLITS.items():
            if stem in texts:
                found.setdefault(split, f"{folder}/{texts[stem]}" if folder else texts[stem])
        if not {"train", "validation"} & found.keys() and place:
            whole = next((texts[stem] for stem in ("trainval", "default", "all") if stem in texts), None)
            rest = [name for stem, name in sorted(texts.items()) if stem not in _SPLITS]
            whole = whole or (rest[0] if place == "ImageSets/Segmentation" and len(rest) == 1 else None)
            if whole:
                found[""] = f"{folder}/{whole}"
        if found:
            return found
    return {}


def _listed(tree, lists, matched: Matched, images: str, masks: str, problems: list[str], notes: list[str]):
    pairs, seen = [], {}
    by_stem: dict[str, list[Placed]] = {}
    for key, placed in matched.pairs.items():
        by_stem.setdefault(key.rsplit("/", 1)[-1], []).append(placed)
    for split, path in lists.items():
        count, missing = len(pairs), collections.defaultdict(list)
        for number, line in enumerate(read_text(tree.at(path)).split("\n"), 1):
            line = line.strip().strip("\ufeff")
            if not line:
                continue
            at = f"{tree.shown(path)}:{number}"
            placed = _of_line(line, matched, by_stem)
            if placed is None:
                missing[_missing(line, matched, images, masks)].append(f"{at}: {shown(line)!r}")
            elif placed.image in seen:
                where = seen[placed.image]
                also = "; what is trained on cannot be held out" if where.rsplit(":", 1)[0] != path else ""
                problems.append(f"{at}: {shown(line)!r} stands in {where} already{also}.")
            else:
                seen[placed.image] = f"{path}:{number}"
                pairs.append(Placed(placed.image, placed.mask, split))
        for what, lines in missing.items():
            more = f", and so are {len(lines) - 1} lines more" if lines[1:] else ""
            problems.append(f"{lines[0]}: {what}{more}.")
        if len(pairs) == count and not missing:
            problems.append(f"{tree.shown(path)}: no line names a pair that can be used.")
    unused = len(matched.pairs) - len(seen)
    if unused:
        notes.append(f"{unused} pairs stand in none of {', '.join(lists.values())} and are not used")
    return pairs


def _of_line(line: str, matched: Matched, by_stem: Mapping[str, list[Placed]]) -> Placed | None:
    for word in (line, *line.split()[:1]):
        key = word.replace("\\", "/")
        for name in (key, os.path.splitext(key)[0]):
            if name in matched.pairs:
                return matched.pairs[name]
            if len(by_stem.get(name.rsplit("/", 1)[-1], [])) == 1:
                return by_stem[name.rsplit("/", 1)[-1]][0]
    return None


def _missing(line: str, matched: Matched, images: str, masks: str) -> str:
    stem = stem_of(line.split()[0]) if "/" in line or "." in line else line
    have = {stem_of(path) for path in matched.without}, {stem_of(path) for path in matched.alone}
    if stem in have[0]:
        return f"has no mask in {shown(masks)}/"
    if stem in have[1]:
        return f"has no image in {shown(images)}/"
    return f"is neither in {shown(images)}/ nor in {shown(masks)}/"


def _fields(
    tree: Tree, homes: Sequence[str], pairs: Sequence[Placed], data: Data
) -> tuple[Mapping[str, Any], list[str]]:
    """Fields for the meaning of the masks' values, and a note."""
    table = find_table(tree, tuple(dict.fromkeys([*homes, ""])))
    if table is not None:
        return fields_of_table(tree, table, pairs, data)
    held = held_by(tree, pairs, data)
    by_index = held.indexed or not held.colored
    if not by_index and not held.colors <= _PALETTE.keys():
        return {}, []
    ids = (set(held.values) if by_index else {_PALETTE[color] for color in held.colors} | set(held.values)) - {255}
    names, note = _names(tree, homes, pairs)
    if (by_index and held.values <= {0, 255}) or (data.classes and not set(data.classes) & set(names)):
        names = []  # Two values, or other classes: they are recognised like any masks.
    if names and max(ids, default=0) >= len(names) and not held.mostly([*range(len(names)), 255]):
        raise DataError(
            f"{shown(tree.root)}: the masks hold values up to {max(ids)}, and VOC has {len(names)} classes: say what "
            "they mean by a labelmap.txt, or --config.data.source=pairs reads them without names."
        )
    if by_index and not names:
        return {}, []
    names = names or list(data.classes) or [f"class_{n}" for n in range(max(ids, default=0) + 1)]
    notes = [note] if note else ["VOC's colours, read as its ids"]
    if by_index:
        return by_values(list(enumerate(names)), data), notes
    return by_colors([*((_color(n), name) for n, name in enumerate(names)), (_BORDER, "void")], data), notes


def _names(tree: Tree, homes: Sequence[str], pairs: Sequence[Placed]) -> tuple[list[str], str]:
    """VOC's own names where the data are VOC's, by its lists, its boxes' names, or its files' names."""
    for home in homes:
        main = f"{home}/ImageSets/Main" if home else "ImageSets/Main"
        listed = {stem_of(name).rpartition("_")[0] for name in tree.folders.get(main, ())} - {""}
        if listed and listed <= set(CLASSES):
            return CLASSES, f"the names of VOC's classes, as in {main}/"
        boxes = _boxes_named(tree, f"{home}/Annotations" if home else "Annotations")
        if boxes and boxes <= set(CLASSES):
            return CLASSES, "the names of VOC's classes, as in Annotations/"
        if boxes:
            return [], ""
    stems = [stem_of(placed.image) for placed in pairs[:50]]
    own = all(len(s) == 11 and s[:4] in ("2007", "2008", "2009", "2010", "2011", "2012") and s[4] == "_" for s in stems)
    if own or any("voc20" in home.lower() for home in homes):
        return CLASSES, "the names of VOC's classes"
    return [], ""


def _boxes_named(tree: Tree, folder: str) -> set[str]:
    names: set[str] = set()
    for file in [name for name in tree.folders.get(folder, ()) if name.lower().endswith(".xml")][:100]:
        try:
            root = read_xml(tree.at(f"{folder}/{file}"))
        except DataError:
            continue  # Boxes are not read; only their names are used.
        names |= {node.findtext("name", "").strip() for node in root.iter("object")} - {""}
    return names


def _color(number: int) -> tuple[int, int, int]:
    """VOC's colour of an id: its bits, from the lowest, go in turn to the highest bits of red, green and blue."""
    color = [0, 0, 0]
    for place in range(8):
        for channel in range(3):
            color[channel] |= (number >> (3 * place + channel) & 1) << (7 - place)
    return tuple(color)


_PALETTE = {**{_color(number): number for number in range(256)}, _BORDER: 255}
