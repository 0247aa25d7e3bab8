"""Volumes: a folder of NIfTI, NRRD, MetaImage, DICOM or TIFF, in the layouts of `trainer.data.volumes.layouts`."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence

import numpy as np

from configs.schema import Data
from trainer.data.errors import DataError, shown
from trainer.data.sources.formats.nnunet_json import Description
from trainer.data.sources.objects.labels import infer_classes
from trainer.data.sources.splits import Splits
from trainer.data.volumes import cases, intensities
from trainer.data.volumes.files import Header, read_volume
from trainer.data.volumes.layouts import Listing, list_cases
from trainer.data.volumes.orientation import Orientation
from trainer.data.volumes.source import Cases

# Training cases whose labels are examined if the classes are not named; whose foreground is examined, for CT.
_LABELS_LOOKED_AT, _FOREGROUNDS_LOOKED_AT = 32, 32


def open_splits(data: Data) -> Splits:
    """The splits of data.path: files are listed and their headers read.

    Voxels are read only for what the data leave open: labels if the classes are not named, and the intensities of the
    foreground if CT is normalised by them.
    """
    root = os.path.expanduser(data.path)
    listing = list_cases(root, data)
    if listing.fatal:
        return Splits(title=shown(data.path), problems=listing.problems, fatal=listing.fatal)
    problems, good = list(listing.problems), {}
    for split in ("train", "validation", "test"):
        kept = []
        for files in getattr(listing, split):
            wrong, header, channels = cases.headers(files)
            problems += wrong
            if not wrong:
                kept.append((files, header, channels))
        good[split] = kept
    notes = list(listing.notes)
    # Nothing is held out of data that are scored as a whole.
    if not good["train"] or not (good["validation"] or data.split == "all"):
        side = "train" if not good["train"] else "evaluate"
        return Splits(title=shown(data.path), fatal=(*problems, f"{shown(root)}: no case is left to {side} on."))
    try:
        data, fields = _described(data, listing, good["train"], problems, notes)
    except DataError as error:
        return Splits(title=shown(data.path), problems=tuple(problems), fatal=(str(error),))
    regions = listing.description.regions if listing.description else {}
    return Splits(
        Cases([files for files, _, _ in good["train"]], data, regions),
        Cases([files for files, _, _ in good["validation"]], data, regions),
        Cases([files for files, _, _ in good["test"]], data, regions) if good["test"] else None,
        classes=data.classes,
        channels=data.channels,
        title=shown(data.path),
        problems=tuple(problems),
        notes=tuple(notes),
        fields=fields,
        advice="--config.data.bad_files=skip leaves such cases out; --mode=check looks into every file.",
    )


_Good = Sequence[tuple[cases.Files, Header, int]]


def _described(data: Data, listing: Listing, train: _Good, problems: list[str], notes: list[str]):
    """The section completed from the data, and the fields that came from them."""
    description, found = listing.description, {}
    channels = _channels(train, description, problems)
    found["channels"] = channels
    if description is not None and description.ignore is not None:
        found["void_id"] = description.ignore
        notes.append(f"label {description.ignore} is ignored, as dataset.json says: no loss or score counts it")
    data = dataclasses.replace(data, **found)
    if not data.classes:
        found["classes"] = _classes(data, description, train, notes)
    names = description.channels if description is not None else ("",) * channels
    names = names if len(names) == channels else ("",) * channels
    if len(data.normalize) not in (1, channels):
        raise DataError(
            f"config.data.normalize has {len(data.normalize)} words, and the images {channels} channels: write one for "
            "all, or one for each."
        )
    found["normalize"] = intensities.kinds(data.normalize, names)
    if not data.spacing:
        spacings = np.array([Orientation.of(header.affine).spacing for _, header, _ in train])
        found["spacing"] = tuple(float(f"{length:.6g}") for length in np.median(spacings, axis=0))
        low, high = spacings.min(axis=0), spacings.max(axis=0)
        if (high / low).max() > 1.01:
            notes.append(
                f"voxels of {_mm(low)} to {_mm(high)} mm (depth x height x width) become {_mm(found['spacing'])}, as "
                "data.spacing says from now on"
            )
    data = dataclasses.replace(data, **found)
    if "ct" in data.normalize and len(data.intensities) != channels:
        if data.intensities:
            raise DataError(
                f"config.data.intensities has {len(data.intensities)} rows, and there are {channels} channels."
            )
        found["intensities"] = _measured(data, train, channels)
        for row, kind in zip(found["intensities"], data.normalize, strict=True):
            if kind == "ct":
                notes.append(
                    f"CT: intensities are clipped to {row[0]:g} … {row[1]:g} and scaled by mean {row[2]:g} and "
                    f"deviation {row[3]:g} of the training foreground, as data.intensities says from now on"
                )
        data = dataclasses.replace(data, intensities=found["intensities"])
    return data, found


def _channels(train: _Good, description: Description | None, problems: list[str]) -> int:
    counts = [channels for _, _, channels in train]
    wanted = len(description.channels) if description is not None else max(set(counts), key=counts.count)
    for files, _, channels in train:
        if channels != wanted:
            which = "dataset.json names" if description is not None else "the others have"
            problems.append(f"{shown(files.images[0])}: has {channels} channels, and {which} {wanted}.")
    return wanted


def _classes(data: Data, description: Description | None, train: _Good, notes: list[str]) -> tuple[str, ...]:
    """Names by id: those of dataset.json, or as many as the labels have."""
    if description is not None and (description.labels or description.regions):
        if not description.regions:
            return description.classes
        ids = {number for united in description.regions.values() for number in united} | set(
            description.labels.values()
        )
        names = {number: name for name, number in description.labels.items()}
        for number in sorted(ids - names.keys()):
            names[number] = "+".join(name for name, united in description.regions.items() if number in united)
        shown_ = "; ".join(f"{name} = {', '.join(map(str, ids))}" for name, ids in description.regions.items())
        notes.append(f"regions that overlap are learnt by the classes that they unite, and scored as regions: {shown_}")
        return tuple(names.get(number, f"class_{number}") for number in range(max(ids) + 1))
    counts: dict[int, int] = {}
    indices = np.unique(np.linspace(0, len(train) - 1, min(len(train), _LABELS_LOOKED_AT)).astype(int)).tolist()
    for index in indices:
        try:
            label = cases.whole_numbers(read_volume(train[index][0].label))
        except DataError:
            continue  # It is reported when it is prepared.
        table = dict(data.mask_ids) | dict.fromkeys(data.void_values, data.void_id)
        for value, count in zip(*(part.tolist() for part in np.unique(label, return_counts=True)), strict=True):
            value = table.get(value, value)
            counts[value] = counts.get(value, 0) + count
    every = f"all {len(train)} training labels" if len(indices) == len(train) else f"{len(indices)} training labels"
    names, note = infer_classes(counts, data, every)
    notes += [note] if note else []
    return names


def _measured(data: Data, train: _Good, channels: int) -> tuple[tuple[float, float, float, float], ...]:
    found = []
    for index in np.unique(np.linspace(0, len(train) - 1, min(len(train), _FOREGROUNDS_LOOKED_AT)).astype(int)):
        files = train[index][0]
        try:
            image, header, _ = cases.read_image(files)
            found.append(intensities.foreground_values(image, cases.read_label(files, header, data), data.void_id))
        except DataError:
            continue
    return intensities.rows_of(found, channels)


def _mm(lengths) -> str:
    return " x ".join(f"{length:.3g}" for length in lengths)
