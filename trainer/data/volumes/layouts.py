"""The layouts of collections of volumes: which files are a case, and which split it is in.

imagesTr/CASE_0000.nii.gz …  labelsTr/CASE.nii.gz  dataset.json    nnU-Net's raw data: a file for each channel
imagesTr/CASE.nii.gz         labelsTr/CASE.nii.gz  dataset.json    the Medical Segmentation Decathlon's: channels in one
images/CASE.nii.gz           labels/CASE.nii.gz                    or masks/; a case may be a folder with a DICOM series
train/images/ …              val/images/ …                         the folder's name is the split

train.txt and val.txt with a case on each line, or nnU-Net's splits_final.json (its first fold), define the split;
without them a share is held out.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Collection, Iterable, Mapping

from configs.schema import Data
from trainer.data.errors import DataError, shown
from trainer.data.sources.formats.descriptions import read_json, read_text
from trainer.data.sources.formats.nnunet_json import FILE, Description, read_description
from trainer.data.sources.splitting import held_out
from trainer.data.volumes.cases import Files
from trainer.data.volumes.files import SUFFIXES, is_series, suffix_of

_IMAGES, _LABELS = ("imagesTr", "images", "imgs"), ("labelsTr", "labels", "masks", "segmentations")
_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
}
_CHANNEL = re.compile(r"(.+)_(\d{4})")
_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class Listing:
    """train, validation, test: the cases. description: dataset.json's. problems, fatal, notes: as in `Splits`."""

    train: tuple[Files, ...] = ()
    validation: tuple[Files, ...] = ()
    test: tuple[Files, ...] = ()
    description: Description | None = None
    problems: tuple[str, ...] = ()
    fatal: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def list_cases(root: str, data: Data) -> Listing:
    """The cases of a folder; only names, dataset.json and lists are read."""
    if not os.path.isdir(root):
        what = "is a file, not a folder" if os.path.exists(root) else "does not exist"
        return Listing(fatal=(f"{shown(root)}: {what} (config.data.path).",))
    try:
        description = read_description(root) if os.path.isfile(os.path.join(root, FILE)) else None
        by_split = _places(root)
        if not by_split:
            return Listing(fatal=(_no_places(root),))
        problems: list[str] = []
        incomplete: set[str] = set()
        found = {split: _pair(root, *places, description, problems, incomplete) for split, places in by_split.items()}
        notes, test = [], ()
        images, labels = (_first(root, "", (name,)) for name in ("imagesTs", "labelsTs"))
        if images and labels:
            test = tuple(_pair(root, images, labels, description, problems, set()))
        elif images:
            notes.append("imagesTs/ has no labels and is not read")
        listing = _split(root, found, description, tuple(problems), incomplete, notes, data)
        return dataclasses.replace(listing, test=test)
    except DataError as error:
        return Listing(fatal=(str(error),))
    except OSError as error:
        return Listing(fatal=(f"{shown(error.filename or root)}: cannot be read: {error.strerror}.",))


def _places(root: str) -> dict[str, tuple[str, str]]:
    """Split ("" if undefined) -> the folders of images and of labels, relative to the root."""
    found = {}
    for parent, split in (("", ""), *((name, side) for name, side in _SPLITS.items())):
        images = _first(root, parent, _IMAGES)
        labels = _first(root, parent, _LABELS)
        if images and labels:
            found.setdefault(split, (images, labels))
    return found


def _first(root: str, parent: str, names: Iterable[str]) -> str:
    return next((p for name in names if os.path.isdir(os.path.join(root, p := os.path.join(parent, name)))), "")


def _stems(root: str, folder: str, problems: list[str]) -> dict[str, str]:
    """Name without suffix -> path, for the volumes and DICOM series of a folder."""
    found: dict[str, str] = {}
    for name in sorted(os.listdir(os.path.join(root, folder))):
        path = os.path.join(root, folder, name)
        suffix = suffix_of(name)
        if name.startswith("."):
            continue
        stem = name[: -len(suffix)] if suffix and os.path.isfile(path) else name if is_series(path) else ""
        if not stem or suffix in (".img", ".img.gz"):  # of a pair of files the .hdr is read
            continue
        if stem in found:
            problems.append(f"{shown(path)}: {shown(os.path.basename(found[stem]))} beside it has the same name.")
        else:
            found[stem] = path
    return found


def _pair(
    root: str, images: str, labels: str, description: Description | None, problems: list[str], incomplete: set[str]
) -> list[Files]:
    """The cases of two folders; files without a partner, and missing channels, become problems."""
    pictures, labelled = _stems(root, images, problems), _stems(root, labels, problems)
    cases: dict[str, dict[int, str]] = {}
    for stem, path in pictures.items():
        match = _CHANNEL.fullmatch(stem)
        if stem in labelled or match is None or (match[1] not in labelled and not description):
            cases.setdefault(stem, {})[0] = path
        else:
            cases.setdefault(match[1], {})[int(match[2])] = path
    wanted = len(description.channels) if description else max(map(len, cases.values()), default=0)
    found = []
    for name, channels in sorted(cases.items()):
        if name not in labelled:
            problems.append(
                f"{shown(next(iter(channels.values())))}: has no label; looked for {shown(name)} in {shown(labels)}/ "
                f"({', '.join(SUFFIXES[:2])}, …)."
            )
            continue
        numbered = set(channels) != {0} or _CHANNEL.fullmatch(_name_of(channels[0]))
        missing = [number for number in range(wanted if numbered else 1) if number not in channels]
        if missing:
            lost = ", ".join(f"{name}_{number:04d}" for number in missing)
            problems.append(
                f"{shown(os.path.join(images, name))}: {shown(lost)} is missing: the data have {wanted} channels."
            )
            continue
        found.append(Files(name, tuple(channels[number] for number in sorted(channels)), labelled[name]))
    incomplete |= (cases.keys() | labelled.keys()) - {files.name for files in found}
    problems += [
        f"{shown(path)}: has no image; looked for {shown(name)} and {shown(name)}_0000 in {shown(images)}/."
        for name, path in labelled.items()
        if name not in cases
    ]
    return found


def _name_of(path: str) -> str:
    name = os.path.basename(path)
    return name[: -len(suffix_of(name))] if suffix_of(name) else name


def _split(
    root: str,
    found: Mapping[str, list[Files]],
    description: Description | None,
    problems: tuple[str, ...],
    incomplete: Collection[str],
    notes: list[str],
    data: Data,
) -> Listing:
    if found.get("train") and found.get("validation"):
        return Listing(tuple(found["train"]), tuple(found["validation"]), (), description, problems, (), tuple(notes))
    cases = [case for part in found.values() for case in part]
    if len(cases) < 2:
        fatal = (
            f"{shown(root)}: holds {len(cases)} case with image and label; one is needed to train on and another to "
        )
        return Listing((), (), (), description, problems, (fatal + "evaluate.",), tuple(notes))
    names = [case.name for case in cases]
    stated = _said(root, names, incomplete, notes)
    if stated is None:
        chosen = held_out(names, data)
        stated = ([i for i in range(len(cases)) if i not in chosen], sorted(chosen))
    train, validation = ([cases[i] for i in part] for part in stated)
    return Listing(tuple(train), tuple(validation), (), description, problems, (), tuple(notes))


def _said(
    root: str, names: list[str], incomplete: Collection[str], notes: list[str]
) -> tuple[list[int], list[int]] | None:
    """Positions of the training and validation cases, by files; None if there are none."""
    position = {name: index for index, name in enumerate(names)}
    lists = {side: os.path.join(root, side + ".txt") for side in ("train", "val")}
    final = os.path.join(root, "splits_final.json")
    if os.path.isfile(lists["train"]):
        wanted = {side: _lines(path) for side, path in lists.items() if os.path.isfile(path)}
        wanted.setdefault("val", [name for name in names if name not in wanted["train"]])
        where = "train.txt" + (" and val.txt" if os.path.isfile(lists["val"]) else "")
    elif os.path.isfile(final):
        folds = read_json(final)
        try:
            wanted = {side: list(map(str, folds[0][side])) for side in ("train", "val")}
        except (TypeError, KeyError, IndexError) as error:
            raise DataError(f'{shown(final)}: has to hold a list of {{"train": […], "val": […]}}.') from error
        where = "splits_final.json"
        notes.append(f"the first of {len(folds)} folds of splits_final.json")
    else:
        return None
    # A case without an image or a label is a problem already.
    wanted = {side: [name for name in listed if name not in incomplete] for side, listed in wanted.items()}
    unknown = [name for side in wanted.values() for name in side if name not in position]
    if unknown:
        more = f" and {len(unknown) - _SHOWN} more" if unknown[_SHOWN:] else ""
        raise DataError(
            f"{shown(root)}: {where} names {', '.join(map(shown, unknown[:_SHOWN]))}{more}, and no case with image and "
            f"label is called so; there are {', '.join(map(shown, names[:_SHOWN]))}, …"
        )
    both = sorted(set(wanted["train"]) & set(wanted["val"]))
    if both:
        raise DataError(f"{shown(root)}: {where} puts {', '.join(map(shown, both[:_SHOWN]))} into both splits.")
    if not wanted["train"] or not wanted["val"]:
        raise DataError(
            f"{shown(root)}: {where} leaves no case to {'train' if not wanted['train'] else 'evaluate'} on."
        )
    unused = len(names) - len(wanted["train"]) - len(wanted["val"])
    notes += [f"{unused} cases are in neither split of {where} and are not used"] if unused else []
    return [position[name] for name in wanted["train"]], [position[name] for name in wanted["val"]]


def _lines(path: str) -> list[str]:
    return [_name_of(line.strip()) for line in read_text(path).split("\n") if line.strip()]


def _no_places(root: str) -> str:
    inside = sorted(os.listdir(root))
    first = ", ".join(shown(name) for name in inside[:6]) + (", …" if inside[6:] else "")
    return (
        f"{shown(root)}: has no folders of images and labels; it holds {first or 'nothing'}.\n"
        "  Put images/CASE.nii.gz and labels/CASE.nii.gz there with the same names, or imagesTr/CASE_0000.nii.gz,\n"
        "  labelsTr/CASE.nii.gz and dataset.json, as nnU-Net has them."
    )
