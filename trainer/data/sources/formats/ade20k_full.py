"""ADE20K's full release: objects of about 3,000 classes, with descriptions beside each picture.

    path/…/training/urban/street/ADE_train_1.jpg   ADE_train_1_seg.png   ADE_train_1.json     (2021)
    path/images/training/a/abbey/ADE_train_1.jpg   ADE_train_1_seg.png   ADE_train_1_atr.txt  (2016)

In *_seg.png red // 10 * 256 + green is the number of a pixel's class, 0 is void, and blue distinguishes objects. Names
only come from the descriptions: the index of the release is a pickle, which could run anything. Parts (*_parts_1.png)
and the masks of single objects, in folders named like their picture, are not read.
"""

from __future__ import annotations

import collections
import functools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from configs.schema import Data
from trainer.data.errors import DataError, shown
from trainer.data.images.files import IMAGE_SUFFIXES
from trainer.data.masks.class_ids import label_from, label_type
from trainer.data.masks.values import MaskValues, decode_values
from trainer.data.sources.formats.ade20k import short_names, split_by_name
from trainer.data.sources.formats.descriptions import read_json, read_text
from trainer.data.sources.formats.mask_files import Placed, by_values, lonely, match, pair_splits, says_masks
from trainer.data.sources.formats.tree import Tree, read_tree
from trainer.data.sources.names import split_of
from trainer.data.sources.pairs import FilePairs, Pair
from trainer.data.sources.splits import Splits, nothing_in
from trainer.data.sources.splitting import refuse_overlap

TITLE = "ADE20K's full release"
HAS_MASK_FILES = True
_SEG, _PART = "_seg.png", re.compile(r"(?i)_parts_\d+$")
# In a look-up table: no class, no void.
_UNKNOWN = -(2**31)
# Descriptions examined before a folder is taken for something else.
_MOST_LOOKED_AT = 20


def recognise(tree: Tree) -> str:
    """By a picture with its *_seg.png and a description that names classes of objects."""
    for number, (mask, file) in enumerate(described(tree)):
        if number == _MOST_LOOKED_AT:
            break
        try:
            with open(tree.at(file), "rb") as content:
                begin = content.read(2**20)
        except OSError:
            continue
        if begin.count(b"#") >= 5 if file.endswith(".txt") else b'"name_ndx"' in begin:
            return f"{shown(mask)} with {shown(file.rpartition('/')[2])}"
    return ""


def described(tree: Tree, *folders: str) -> Iterator[tuple[str, str]]:
    """(*_seg.png, its picture's *.json or *_atr.txt) in these folders, or in all by default."""
    for folder in folders or tree.folders:
        for name in tree.folders[folder]:
            if name.endswith(_SEG):
                stem = f"{folder}/{name}" if folder else name
                stem = stem.removesuffix(_SEG)
                file = next((f for f in (stem + ".json", stem + "_atr.txt") if tree.has(f)), "")
                if file:
                    yield stem + _SEG, file


class ClassNumbers(FilePairs):
    """Pairs whose masks encode the number of a class in red and green."""

    def mask_values(self, index: int) -> MaskValues:
        """The numbers of the classes."""
        return MaskValues(self._numbers(self.pairs[index]), None, "PNG")

    def _numbers(self, pair: Pair) -> np.ndarray:
        return _number_of(_values(os.path.join(self.root, pair.mask), self._data))

    def _label(self, pair: Pair) -> np.ndarray:
        path, data = os.path.join(self.root, pair.mask), self._data
        values = _values(path, data)
        if not data.mask_ids or data.mask_encoding != "ids":
            return label_from(MaskValues(_number_of(values), None, "PNG"), data, shown(path))
        keys = values[:, :, 0].astype(np.uint16)
        keys <<= 8
        keys |= values[:, :, 1]
        label = _class_of_colors(data.mask_ids, data.void_values, data.void_id)[keys]
        if label.min() == _UNKNOWN:
            found, counts = np.unique(_number_of(values)[label == _UNKNOWN], return_counts=True)
            first = ", ".join(f"{n} ({c} pixels)" for n, c in list(zip(found, counts, strict=True))[:8])
            raise DataError(
                f"{shown(path)}: {counts.sum()} pixels are of classes that no description names: {first}. A line of "
                f"{_description_of(path)} for an object of it would, or a row of mask_ids: (value, class id)."
            )
        return label.astype(label_type(data), copy=False)


@functools.lru_cache(maxsize=4)
def _class_of_colors(table: tuple, void_values: tuple[int, ...], void_id: int) -> np.ndarray:
    """Class id by red * 256 + green."""
    of_number = np.full(26 * 256, _UNKNOWN, np.int32)
    for value, class_id in (*table, *((value, void_id) for value in void_values)):
        if 0 <= value < len(of_number):
            of_number[value] = class_id
    red, green = np.divmod(np.arange(2**16), 256)
    return of_number[red // 10 * 256 + green]


def _values(path: str, data: Data) -> np.ndarray:
    values = decode_values(path, data.max_pixels).values
    if values.ndim != 3:
        raise DataError(f"{shown(path)}: is no colour image, and red and green have the number of the class.")
    return values


def _number_of(values: np.ndarray) -> np.ndarray:
    return values[:, :, 0].astype(np.int32) // 10 * 256 + values[:, :, 1]


def _description_of(mask: str) -> str:
    stem = mask.removesuffix(_SEG)
    return shown(os.path.basename(next((f for f in (stem + ".json", stem + "_atr.txt") if os.path.isfile(f)), stem)))


def open_splits(data: Data) -> Splits:
    """The splits of a folder with ADE20K's full release."""
    refuse_overlap(data, TITLE)
    tree = read_tree(os.path.expanduser(data.path))
    images, masks = _files(tree)
    if not masks:
        return nothing_in(tree.root, f"no files *{_SEG}")
    matched = match(
        tree, images, masks, image_key=lambda p: os.path.splitext(p)[0], mask_key=lambda p: p.removesuffix(_SEG)
    )
    pairs = [Placed(p.image, p.mask, split_by_name(p.image) or split_of(p.image)) for p in matched.pairs.values()]
    problems = [*matched.problems, *lonely(tree, matched)]
    if not pairs:
        fatal = (f"{shown(tree.root)}: no picture has the name of a *{_SEG}.",)
        return Splits(title=shown(tree.root), problems=tuple(problems), fatal=fatal)
    notes, fields = [f"recognised: {TITLE}, {shown(pairs[0].mask)} and others; 0 is void; parts are not read"], {}
    if not says_masks(data):
        fields = _fields(tree, [pair.mask for pair in pairs], data, problems, notes)
    return pair_splits(tree, pairs, data, fields=fields, problems=problems, notes=notes, reader=ClassNumbers)


def _files(tree: Tree) -> tuple[list[str], list[str]]:
    """Pictures and masks; not parts, nor folders with the objects of a picture."""
    images, masks = [], []
    for folder, names in tree.folders.items():
        above, _, own = folder.rpartition("/")
        if own and f"{own}{_SEG}" in tree.folders.get(above, ()):
            continue
        for name in names:
            stem, suffix = os.path.splitext(name)
            path = f"{folder}/{name}" if folder else name
            if name.endswith(_SEG):
                masks.append(path)
            elif suffix.lower() in IMAGE_SUFFIXES and not _PART.search(stem):
                images.append(path)
    return images, masks


def _fields(tree: Tree, masks: Sequence[str], data: Data, problems: list[str], notes: list[str]) -> dict[str, Any]:
    """The classes by the descriptions of all pictures; adds problems and notes."""
    named = _Names()
    without: list[str] = []
    for mask in masks:
        stem = mask.removesuffix(_SEG)
        try:
            if tree.has(stem + ".json"):
                named.add_numbered(tree.shown(stem + ".json"), read_json(tree.at(stem + ".json"), "latin-1"))
            elif tree.has(stem + "_atr.txt"):
                file = tree.at(stem + "_atr.txt")
                named.add_counted(shown(file), read_text(file, "latin-1"), tree.at(mask), data)
            else:
                without.append(mask)
        except DataError as error:
            problems.append(str(error))
    if not named.names:
        none = f"{tree.shown('')}: no description names a class: {len(without)} pictures have none."
        raise DataError("\n".join([none, *problems]))
    if without:
        notes.append(f"{len(without)} pictures have no description (*.json, *_atr.txt): {shown(without[0])}, …")
    notes += named.said()
    entries = short_names(sorted(named.names.items()))
    notes.append(f"{len(entries)} classes, those of the objects in {len(masks) - len(without)} descriptions")
    return by_values([*entries, (0, "void")], data)


class _Names:
    """Names of classes by their numbers, as the descriptions of pictures have them."""

    def __init__(self):
        self.names: dict[int, str] = {}
        self._first: dict[int, str] = {}
        self._others: collections.Counter[str] = collections.Counter()

    def add_numbered(self, at: str, content: Any) -> None:
        """Adds names from a *.json, whose objects have the class's number and name."""
        objects = content.get("annotation") if isinstance(content, Mapping) else None
        objects = objects.get("object") if isinstance(objects, Mapping) else None
        # A list of one item was written as the item.
        objects = [objects] if isinstance(objects, Mapping) else objects
        if not isinstance(objects, list):
            raise DataError(f'{at}: is not ADE20K\'s: it has no "annotation" with a list "object".')
        for place, item in enumerate(objects):
            number, name = (item.get(key) for key in ("name_ndx", "name")) if isinstance(item, Mapping) else (0, 0)
            if not isinstance(number, int) or not 0 < number < 26 * 256 or not isinstance(name, str) or not name:
                raise DataError(f'{at}: object {place}: has no "name" and "name_ndx", a number from 1: {number!r}')
            parts = item.get("parts")
            if not (isinstance(parts, Mapping) and parts.get("part_level")):
                self._add(number, name, at)

    def add_counted(self, at: str, text: str, mask: str, data: Data) -> None:
        """Adds names from an *_atr.txt, whose lines are the objects by their values of blue, without class numbers.

        The mask is read only if a name has no number yet.
        """
        objects = {}
        for number, line in enumerate(text.split("\n"), start=1):
            cells = [cell.strip() for cell in line.split("#")]
            if not line.strip():
                continue
            if len(cells) < 5 or not cells[0].isdigit() or not cells[1].isdigit() or not cells[3]:
                raise DataError(f"{at}:{number}: is not: number # part level # occluded # class # name # attributes.")
            if cells[1] == "0":
                objects[int(cells[0])] = cells[3]
        if set(objects.values()) <= set(self.names.values()):
            return
        picture = _values(mask, data)
        classes = _number_of(picture)
        values, first = np.unique(picture[:, :, 2], return_index=True)
        values, first = values[values > 0], first[values > 0]
        if len(values) != len(objects):
            # An object is hidden by others, and it is unknown which.
            self._others[f"{at} has {len(objects)} objects, and its mask {len(values)}"] += 1
            return
        for (_, name), place in zip(sorted(objects.items()), first.tolist(), strict=True):
            if classes.flat[place]:
                self._add(int(classes.flat[place]), name, at)

    def _add(self, number: int, name: str, at: str) -> None:
        known = self.names.setdefault(number, name)
        if known != name:
            self._others[f"class {number} is {known!r} in {self._first[number]} and {name!r} in {at}"] += 1
        self._first.setdefault(number, at)

    def said(self) -> list[str]:
        """Notes on disagreements between descriptions, where the first name counts."""
        if not self._others:
            return []
        return [f"descriptions that do not fit, {self._others.total()}: {next(iter(self._others))}; the first counts"]
