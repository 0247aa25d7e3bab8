"""nnU-Net's raw data in two dimensions: a file for each channel of a case, its labels, and dataset.json.

    path/dataset.json   path/imagesTr/CASE_0000.png (CASE_0001.png …)   path/labelsTr/CASE.png   path/splits_final.json

Images of natural colours may have their channels in one file. The label "ignore" is void. Labels that are regions,
{"whole": [1, 2], "core": [2]}, are classes that overlap. The first fold of nnU-Net's splits_final.json, if present, is
the split.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from configs.schema import Data
from trainer.data.errors import DataError, shown
from trainer.data.example import Example, Feature, overlapping_features
from trainer.data.images.decode import bands_of, deep_values, read_image
from trainer.data.masks.class_ids import decode_mask
from trainer.data.sources.agreement import read_both
from trainer.data.sources.formats.descriptions import read_json, stem_of
from trainer.data.sources.formats.mask_files import by_values, says_masks
from trainer.data.sources.formats.nnunet_json import FILE, Description, read_description
from trainer.data.sources.formats.tree import Tree, read_tree
from trainer.data.sources.headers import check_headers
from trainer.data.sources.pairs import Pair
from trainer.data.sources.splits import Splits, nothing_in
from trainer.data.sources.splitting import refuse_overlap, split_examples

TITLE = "nnU-Net raw data"
HAS_MASK_FILES = True
_CHANNEL = re.compile(r"^(.+)_(\d{4})$")


@dataclasses.dataclass(frozen=True)
class Case:
    """images: a file for each channel, or one for all; image: the first of them, which identifies the case."""

    images: tuple[str, ...]
    mask: str
    split: str = ""

    @property
    def image(self) -> str:
        return self.images[0]


class CaseReader:
    """Reads cases, with channels from several files joined."""

    def __init__(self, root: str, cases: Sequence[Case], data: Data):
        self.root = root
        self.cases = tuple(cases)
        self.names = tuple(shown(case.image) for case in cases)
        self._data = data

    @property
    def features(self) -> dict[str, Feature] | None:
        """As `FilePairs.features`."""
        return overlapping_features(self._data)

    def reading(self, data: Data) -> CaseReader:
        """The same cases, read with another data section."""
        return CaseReader(self.root, self.cases, data)

    def deep_values(self, index: int) -> np.ndarray | None:
        """As `FilePairs.deep_values`."""
        parts = [deep_values(os.path.join(self.root, path), self._data) for path in self.cases[index].images]
        return None if any(part is None for part in parts) else np.concatenate(parts, axis=2)

    def bands(self, index: int) -> int:
        """As `FilePairs.bands`."""
        images = self.cases[index].images
        return len(images) if len(images) > 1 else bands_of(os.path.join(self.root, images[0]), self._data)

    def __call__(self, index: int) -> Example:
        case, data = self.cases[index], self._data
        mask = os.path.join(self.root, case.mask)
        return read_both(
            self.names[index],
            os.path.join(self.root, case.image),
            lambda: self._image(case.images),
            mask,
            lambda: decode_mask(mask, data, upright=False),
        )

    def _image(self, images: Sequence[str]) -> np.ndarray:
        if len(images) == 1:
            return read_image(os.path.join(self.root, images[0]), self._data, upright=False)
        parts, rows = [], self._data.value_range
        for channel, path in enumerate(images):
            own = rows[channel : channel + 1] if len(rows) > 1 else rows
            section = dataclasses.replace(self._data, channels=1, value_range=own)
            parts.append(read_image(os.path.join(self.root, path), section, upright=False))
            if parts[-1].shape != parts[0].shape:
                sizes = f"{parts[-1].shape[1]} x {parts[-1].shape[0]}, and {parts[0].shape[1]} x {parts[0].shape[0]}"
                raise DataError(f"{shown(os.path.join(self.root, path))}: its channel is {sizes} is the first's.")
        return np.concatenate(parts, axis=2)


def recognise(tree: Tree) -> str:
    """By dataset.json with imagesTr/ and labelsTr/ of 2-D pictures."""
    return next((f"{home}/{FILE}" if home else FILE for home in _homes(tree)), "")


def _homes(tree: Tree) -> list[str]:
    found = []
    for folder, names in tree.folders.items():
        below = [f"{folder}/{name}" if folder else name for name in ("imagesTr", "labelsTr")]
        if FILE in names and below[0] in tree.folders and tree.images(below[0]):
            found.append(folder)
    return found


def open_splits(data: Data) -> Splits:
    """The splits of a folder with nnU-Net's raw data."""
    tree = read_tree(os.path.expanduser(data.path))
    homes = _homes(tree)
    if len(homes) != 1:
        what = (
            f"{len(homes)} data sets of nnU-Net: name one of {', '.join(homes)}"
            if homes
            else f"no {FILE} and imagesTr/"
        )
        return nothing_in(tree.root, f"{what}")
    described = read_description(tree.at(homes[0]))
    if not described.regions:
        refuse_overlap(data, TITLE)
    problems: list[str] = []
    cases = _cases(tree, homes[0], described, problems)
    below = f"{homes[0]}/labelsTs" if homes[0] else "labelsTs"
    tested = _cases(tree, homes[0], described, problems, "Ts") if tree.pictures_in(below) else []
    divided = split_examples([*_as_split(tree, homes[0], cases), *tested], data, shown(tree.root))
    pairs = [Pair(case.image, case.mask) for case in (*divided.train, *divided.validation)]
    problems += check_headers(tree.root, pairs, data)
    fields, notes = {}, []
    if described.regions and not says_masks(data):
        fields, notes = _of_regions(described, data, tree.shown(f"{homes[0]}/{FILE}" if homes[0] else FILE))
    elif not says_masks(data):
        entries = [(number, name) for number, name in enumerate(described.classes)]
        void = [] if described.ignore is None else [(described.ignore, "void")]
        fields = by_values([*entries, *void], data)
    divided.notes.insert(0, f"recognised: {TITLE}, channels {', '.join(described.channels)}")
    count = max((len(case.images) for case in cases), default=1)
    return Splits(
        CaseReader(tree.root, divided.train, data),
        CaseReader(tree.root, divided.validation, data),
        test=CaseReader(tree.root, divided.test, data) if divided.test else None,
        named=divided.named,
        classes=fields.get("classes", ()),
        channels=count if count > 1 else 0,
        title=shown(data.path),
        problems=tuple(problems),
        fatal=divided.fatal,
        notes=(*divided.notes, *notes),
        fields=fields,
        advice="--config.data.bad_files=skip leaves such files out; --mode=check looks into every file.",
    )


def _of_regions(described: Description, data: Data, at: str) -> tuple[dict[str, Any], list[str]]:
    """Fields for labels that are regions, each a class of its own, and notes."""
    if data.labels == "exclusive":
        listed = ", ".join(f"{name} {list(ids)}" for name, ids in list(described.regions.items())[:4])
        raise DataError(f"{at}: labels are regions that overlap ({listed}): leave data.labels=exclusive out.")
    classes = data.classes or described.order
    if sorted(classes) != sorted(described.order):
        raise DataError(f"{at}: the regions are {', '.join(described.order)}, and data.classes {', '.join(classes)}.")
    united = {name: described.regions.get(name) or (described.labels[name],) for name in described.order}
    table = [(value, classes.index(name)) for name, ids in united.items() for value in ids]
    void = [] if described.ignore is None else [(described.ignore, data.void_id)]
    fields = {"classes": classes, "labels": "multi", "mask_encoding": "regions", "mask_ids": (*sorted(table), *void)}
    unions = "; ".join(f"{name} = {', '.join(map(str, ids))}" for name, ids in united.items())
    notes = [f"the labels are regions that overlap, each with a sigmoid of its own: {unions}"]
    if described.region_values:
        # The file's order decides what lies on top, and cannot be kept if data.classes has another.
        if classes != described.order:
            return fields, [*notes, "data.classes has another order than the file: a file for each region is predicted"]
        fields["region_values"] = described.region_values
        ids = ", ".join(f"{name} {value}" for name, value in zip(classes, described.region_values, strict=True))
        notes.append(f"predictions are written as ids, the last of a pixel's regions counts: {ids}")
    else:
        notes.append("there is no regions_class_order: predictions are written as a file for each region")
    return fields, notes


def _cases(
    tree: Tree, home: str, described: Description, problems: list[str], part: Literal["Tr", "Ts"] = "Tr"
) -> list[Case]:
    images, masks = (f"{home}/{name}{part}" if home else name + part for name in ("images", "labels"))
    by_case: dict[str, dict[int, str]] = {}
    others: list[str] = []
    for path in tree.images(images):
        found = _CHANNEL.match(stem_of(path))
        case, channel = (found[1], int(found[2])) if found else (stem_of(path), 0)
        if described.file_ending and not path.lower().endswith(described.file_ending.lower()):
            others.append(path)
        elif channel in by_case.setdefault(case, {}):
            problems.append(f"{tree.shown(path)}: is channel {channel} of case {case!r} a second time.")
        else:
            by_case[case][channel] = path
    if others and part == "Tr":
        many = f", and {len(others) - 1} more" if others[1:] else ""
        ending = f"file_ending of {FILE}, {described.file_ending!r}"
        problems.append(f"{tree.shown(others[0])}: does not end as {ending}{many}.")
    label_of = {stem_of(path): path for path in tree.images(masks)}
    expected, cases = len(described.channels), []
    for case, channels in sorted(by_case.items()):
        missing = sorted(set(range(expected)) - channels.keys())
        one_file = expected > 1 and list(channels) == [0] and _bands(tree.at(channels[0])) >= min(expected, 3)
        if case not in label_of:
            problems.append(f"{tree.shown(channels[min(channels)])}: case {case!r} has no labels in {shown(masks)}/.")
        elif (missing and not one_file) or set(channels) - set(range(expected)):
            files = ", ".join(f"{case}_{channel:04}" for channel in missing) or "too many"
            problems.append(
                f"{tree.shown(channels[min(channels)])}: case {case!r} has {len(channels)} of {expected} channels "
                f"({', '.join(described.channels)}): {files}{' is not there' if missing else ''}."
            )
        else:
            files = tuple(channels[number] for number in sorted(channels))
            cases.append(Case(files, label_of[case], "test" if part == "Ts" else ""))
    alone = [path for case, path in label_of.items() if case not in by_case]
    if alone and not others:
        many = f", and {len(alone) - 1} more" if alone[1:] else ""
        problems.append(f"{tree.shown(alone[0])}: labels without an image in {shown(images)}/{many}.")
    return cases


def _bands(path: str) -> int:
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return len(picture.getbands()) if picture.mode != "P" else 3
    except OSError:
        return 3  # It is reported by the check of headers.


def _as_split(tree: Tree, home: str, cases: Sequence[Case]) -> list[Case]:
    """The cases with the split of the first fold of splits_final.json, where there is one."""
    path = f"{home}/splits_final.json" if home else "splits_final.json"
    if not tree.has(path):
        return [dataclasses.replace(case, split="train") for case in cases]
    folds = read_json(tree.at(path))
    first = folds[0] if isinstance(folds, list) and folds else None
    if not isinstance(first, Mapping) or not all(isinstance(first.get(key), list) for key in ("train", "val")):
        raise DataError(f'{tree.shown(path)}: has to be a list of {{"train": […], "val": […]}}.')
    split_of = {
        **dict.fromkeys(map(str, first["train"]), "train"),
        **dict.fromkeys(map(str, first["val"]), "validation"),
    }
    known = {_case_of(case): case for case in cases}
    strangers = [name for name in split_of if name not in known]
    if strangers:
        raise DataError(f"{tree.shown(path)}: names cases that are not there: {', '.join(strangers[:8])}.")
    return [dataclasses.replace(case, split=split_of[name]) for name, case in known.items() if name in split_of]


def _case_of(case: Case) -> str:
    found = _CHANNEL.match(stem_of(case.image))
    return found[1] if found else stem_of(case.image)
