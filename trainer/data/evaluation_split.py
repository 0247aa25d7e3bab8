"""Opens the examples of one split for scoring: the test split of a run's data, or data that it never saw.

No other split is needed. Classes, void id, channels and range of values stay those of the run; the masks of other data
are compared with them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from configs.schema import Config, Data
from trainer.data.errors import DataError, listed
from trainer.data.masks.recognition import recognise_masks
from trainer.data.opening import completed, opened_splits, source_of
from trainer.data.source import DataSets, MemoryCache
from trainer.data.sources.joined import JoinedReader, RenumberedReader
from trainer.data.sources.splits import Splits

_SPLITS = ("train", "validation", "test")
_MASKS_LOOKED_AT = 64


def other_data(data: Data, path: str) -> Data:
    """The section that reads `path`, a folder or a list of files, instead of a run's own data, in the same way."""
    by_path = data.source not in ("nuclei", "tfds") and ":" not in data.source
    # The kind of annotations in another folder is recognised, unless the run's config named it.
    return dataclasses.replace(data, path=path, source=data.source if by_path else "folder", group="")


def open_evaluated(config: Config, data: Any = None) -> DataSets:
    """The examples that config.data.split names, as the validation split of the result.

    Args:
      config: its data section says where they are and how they are read; `split` "auto" takes the test split, or all
        where the data are not divided.
      data: an object instead of the config's source, as `open_data` takes it; from a mapping of splits, the
        requested one.

    Raises:
      DataError: there is no such split; the data are divided, and it is not said which part is meant; or the
        errors of `open_data` about single examples.
    """
    section = config.data
    wanted = section.split
    if isinstance(data, Mapping) and data and not set(data) - set(_SPLITS):
        data = {"train": _of_mapping(data, wanted), "validation": None}
    elif data is not None:
        data = {"train": data, "validation": None}
    full = dataclasses.replace(section, split="all" if wanted == "auto" else wanted)
    splits, full = opened_splits(full, data)
    readers = {name: getattr(splits, name) for name in _SPLITS}
    readers = {name: reader for name, reader in readers.items() if reader is not None and len(reader.names)}
    if splits.fatal and not readers:
        raise DataError(f"{splits.title}:\n{listed([*splits.fatal, *splits.problems])}")
    chosen, note = _chosen(readers, splits, wanted if data is None else "all")
    if len(chosen) > 1 and hasattr(chosen[0], "chosen"):  # volumes know how
        reader = chosen[0].chosen(chosen, range(sum(len(part.names) for part in chosen)))
    else:
        reader = JoinedReader(chosen) if len(chosen) > 1 else chosen[0]
    if section.channels and full.channels != section.channels:
        raise DataError(
            f"{splits.title}: images have {full.channels} channels, and the model takes {section.channels}."
        )
    reader, full = _with_classes(reader, splits, section, full)
    opened = dataclasses.replace(splits, train=reader, validation=None, test=None, fatal=(), fields={})
    opened, full = completed(opened, full)
    if opened.fatal or (opened.problems and full.bad_files == "stop"):
        problems = [*opened.fatal, *opened.problems]
        advice = "" if opened.fatal or not opened.advice else f"\n{opened.advice}"
        raise DataError(f"{opened.title}: {len(problems)} problem(s):\n{listed(problems)}{advice}")
    full, different = _thresholded(opened.train, full)
    reader = opened.train.reading(full) if different and hasattr(opened.train, "reading") else opened.train
    source = source_of("validation", reader, full, MemoryCache(0))
    if "label" not in source.features:
        raise DataError(f"{opened.title}: the examples have no labels, so that nothing can be scored; --mode=predict.")
    return DataSets(
        train=source,
        validation=source,
        classes=full.classes,
        void_id=full.void_id,
        channels=full.channels,
        config=dataclasses.replace(config, data=dataclasses.replace(full, split=section.split)),
        title=opened.title,
        notes=tuple(note for note in (*opened.notes, note, different) if note),
        problems=opened.problems,
    )


def _of_mapping(data: Mapping, wanted: str) -> Any:
    """The requested part of {"train": …, "test": …}."""
    having = {name: value for name, value in data.items() if value is not None}
    name = next(iter(having), "") if len(having) == 1 else "test" if wanted in ("auto", "all") else wanted
    if name not in having:
        raise DataError(f"data has {', '.join(having)}: pass the one to be scored, data[{name!r}].")
    return having[name]


def _chosen(readers: Mapping[str, Any], splits: Splits, wanted: str) -> tuple[list, str]:
    """The readers of the requested split, and a note on the choice."""
    flag = "--config.data.split"
    if wanted == "all":
        return list(readers.values()), ""
    if wanted != "auto":
        if wanted in readers:
            return [readers[wanted]], f"the {wanted} split is scored"
        there = ", ".join(f"{name} ({len(reader.names)})" for name, reader in readers.items()) or "nothing"
        raise DataError(
            f"{splits.title}: there is no {wanted} split ({flag}={wanted}); it holds {there}.\n"
            f"  A folder called test/ is one, beside train/, or images/test with masks/test, or a list test.txt. To "
            f"score every example: {flag}=all; a folder of its own: --input=FOLDER"
        )
    if "test" in readers:
        left = sum(len(reader.names) for name, reader in readers.items() if name != "test")
        return [readers["test"]], f"the test split is scored; {left} other examples are not" if left else ""
    if {"train", "validation"} <= set(splits.named):
        choices = "\n".join(
            f"    {flag}={name:<11} # {len(readers[name].names)} examples" for name in ("validation", "train")
        )
        total = sum(len(reader.names) for reader in readers.values())
        raise DataError(
            f"{splits.title}: is divided into training and validation examples. Say which are to be scored:\n{choices}"
            f"\n    {flag}={'all':<11} # {total} examples"
        )
    return list(readers.values()), ""


def _with_classes(reader, splits: Splits, run: Data, section: Data) -> tuple[Any, Data]:
    """The reader with the run's ids for its classes, where the data name these themselves, as annotations do.

    Raises:
      DataError: they have a class that the run does not have.
    """
    names = tuple(splits.fields.get("classes", ()) or splits.classes)
    if not run.classes or not names or names == tuple(run.classes):
        return reader, dataclasses.replace(section, classes=run.classes or names)
    if getattr(reader, "features", None) is not None:
        return reader, dataclasses.replace(section, classes=run.classes)  # an object, read with the run's classes
    unknown = [name for name in names if name not in run.classes]
    if unknown:
        raise DataError(
            f"{splits.title}: has the classes {', '.join(unknown)}, which the run has not: {', '.join(run.classes)}. "
            "Examples are scored by the classes that the model was trained on; call them alike."
        )
    return RenumberedReader(reader, names, run.classes, section.void_id), dataclasses.replace(
        section, classes=run.classes
    )


def _thresholded(reader, section: Data) -> tuple[Data, str]:
    """The section with another threshold, where the run's would make all pixels of the other masks one class."""
    if section.mask_encoding != "binary" or not section.mask_threshold or not hasattr(reader, "mask_values"):
        return section, ""
    masks, length = [], len(reader.names)
    for index in np.unique(np.linspace(0, length - 1, min(length, _MASKS_LOOKED_AT)).astype(int)).tolist():
        try:
            masks.append((reader.names[index], reader.mask_values(index)))
        except DataError:
            continue  # It is reported when it is scored.
    values = [mask.values for _, mask in masks if mask.palette is None]
    if not values:
        return section, ""
    high, low = max(int(v.max()) for v in values), min(int(v.min()) for v in values)
    if not low < high < section.mask_threshold:
        return section, ""
    found = recognise_masks(masks, dataclasses.replace(section, mask_threshold=0))
    changed = dataclasses.replace(section, **found.fields)
    return changed, (
        f"the masks hold {low} to {high}, and the run's threshold is {section.mask_threshold}: here it is "
        f"{changed.mask_threshold}"
    )
