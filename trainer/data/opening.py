"""Opens the splits of a config or an object, with cheap checks (names, lists, headers); one error has all problems."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from configs.reading import durations, fields
from configs.schema import Config, Data
from trainer.data.errors import DataError, listed
from trainer.data.masks.overlapping import overlapping_masks
from trainer.data.masks.recognition import recognise_masks
from trainer.data.pipeline import augmented
from trainer.data.processes import Opening
from trainer.data.source import DataSets, MemoryCache, Source
from trainer.data.sources import SOURCES
from trainer.data.sources.folds import in_folds
from trainer.data.sources.objects.labels import infer_classes
from trainer.data.sources.objects.objects import open_object
from trainer.data.sources.splits import Splits
from trainer.parts import load_attribute, name_of, resolve, takes

# Masks examined where neither the config nor the data name the classes.
_LOOKED_AT = 200
_IMAGES_LOOKED_AT, _MASKS_LOOKED_AT, _PIXELS_LOOKED_AT = 32, 64, 200_000_000
# The void id where there are so many classes that the default is one of them.
_WIDE_VOID = 65535
# More classes than a mask of 16 bits can have: any id is allowed here.
_ANY_ID = tuple(map(str, range(2**16)))


def open_data(config: Config, data: Any = None, augment: Sequence[Callable | str] = ()) -> DataSets:
    """Opens the splits of a config, or those of an object.

    Files are listed and their headers read, records indexed, and a few hundred of an object's examples examined.

    Args:
      config: data.source says where examples come from, unless `data` is given.
      data: an object with len() and [i], whose items are (image, label) or a dict with "image"; a pair of arrays; a
        `tf.data.Dataset`; or {"train": …, "validation": …} of these. See `trainer.data.sources.objects.objects`.
      augment: the user's own augmentations, after those of config.augment.functions: `f(example, random)`, or their
        names, "package.module:function". See `trainer.data.augment.own`.

    Raises:
      DataError: nothing to train on, or, unless data.bad_files is "skip", any example that is missing, empty,
        unreadable or of another size than its partner. The message names all of them.
    """
    functions = own_augmentations(config, augment)
    splits, section = open_splits(config.data, data)
    if splits.fatal or (splits.problems and section.bad_files == "stop"):
        problems = [*splits.fatal, *splits.problems]
        advice = "" if splits.fatal or not splits.advice else f"\n{splits.advice}"
        count = f"{len(problems)} problems" if len(problems) > 1 else "a problem"
        raise DataError(f"The data have {count} ({splits.title}):\n{listed(problems)}{advice}")
    _check_lengths(config, splits)
    cache = MemoryCache(section.cache_mib)
    train = source_of("train", splits.train, section, cache, functions)
    train.opening = Opening(config, data, tuple(augment) if isinstance(augment, (list, tuple)) else augment)
    validation = None
    if splits.validation is not None:
        if getattr(splits.validation, "stream", None) is not None:
            splits.validation.count()
        validation = source_of("validation", splits.validation, section, cache)
        if "label" in train.features and "label" not in validation.features:
            raise DataError("Training examples have labels and validation examples none: nothing could be scored.")
    return DataSets(
        train=train,
        validation=validation,
        classes=section.classes,
        void_id=section.void_id,
        channels=section.channels,
        config=dataclasses.replace(config, data=section),
        title=splits.title,
        notes=(*splits.notes, *_changing_augmentations(train, config)),
        problems=splits.problems,
    )


def open_splits(section: Data, data: Any = None) -> tuple[Splits, Data]:
    """The splits, whatever is wrong with single examples, and the section completed from the data.

    Raises:
      DataError: nothing can be opened.
    """
    splits, section = opened_splits(section, data)
    return completed(splits, section)


def opened_splits(section: Data, data: Any = None) -> tuple[Splits, Data]:
    """The splits of the source, and the section with the fields that the source knows."""
    splits, found = _opened(section, data)
    if splits.fatal or not _void_is_a_class(found):
        return splits, found
    name = found.classes[found.void_id]
    if section.void_id != Data().void_id or data is not None:
        raise DataError(
            f"The data have {len(found.classes)} classes, and data.void_id={section.void_id} is the id of {name!r}, "
            f"which nothing would count then. Write another: --config.data.void_id={_WIDE_VOID}"
        )
    # Read again: the tables already have the void values.
    splits, found = _opened(dataclasses.replace(section, void_id=_WIDE_VOID), data)
    note = f"void is {_WIDE_VOID}, as data.void_id says from now on: {section.void_id} is the id of {name!r}"
    return dataclasses.replace(splits, notes=(*splits.notes, note)), found


def _void_is_a_class(section: Data) -> bool:
    return not section.multi_label and 0 <= section.void_id < len(section.classes)


def _opened(section: Data, data: Any) -> tuple[Splits, Data]:
    if data is None:
        part = resolve(section.source, "config.data.source", SOURCES)
        opener = load_attribute(part, "config.data.source") if isinstance(part, str) else part
        splits = open_object(_called(opener, section), section, title=section.source)
    else:
        splits = open_object(data, section)
    return splits, dataclasses.replace(section, **{"channels": splits.channels or section.channels, **splits.fields})


def completed(splits: Splits, section: Data) -> tuple[Splits, Data]:
    """The splits with readers that know the whole section, and the section completed from their files."""
    if splits.fatal or (splits.problems and section.bad_files == "stop" and not section.classes):
        return splits, section
    try:
        section, more = _depth(splits, section)
        section, notes = _recognised(splits, section)
    except DataError as error:
        return dataclasses.replace(splits, fatal=(str(error),)), section
    notes = (*more, *notes)
    if not section.classes and "classes" not in splits.fields:
        names, note = (splits.classes, "") if splits.classes else _classes_of_masks(splits, section)
        section = dataclasses.replace(section, classes=names)
        notes += (note,) if note else ()
    readers = {
        split: reader.reading(section)
        for split in ("train", "validation")
        if hasattr(reader := getattr(splits, split), "reading")
    }
    splits = dataclasses.replace(splits, **readers, classes=section.classes, notes=(*splits.notes, *notes))
    if section.folds and section.split == "auto":
        try:
            splits = in_folds(splits, section)
        except DataError as error:
            splits = dataclasses.replace(splits, fatal=(str(error),))
    return splits, section


def _depth(splits: Splits, section: Data) -> tuple[Data, tuple[str, ...]]:
    """The section with the number of channels and the range of values in image files, and notes on them."""
    reader, notes = splits.train, []
    if not hasattr(reader, "deep_values"):
        return dataclasses.replace(section, channels=section.channels or 3), ()
    length = len(reader.names)
    indices = np.unique(np.linspace(0, max(length - 1, 0), min(length, _IMAGES_LOOKED_AT)).astype(int)).tolist()
    if section.bands:
        section = dataclasses.replace(section, channels=sum(name != "-" for name in section.bands))
    if not section.channels:
        section = dataclasses.replace(section, channels=next(map(reader.bands, indices[:1]), 3))
        notes += [f"the images have {section.channels} channels"] if section.channels != 3 else []
    if section.value_range:
        return section, tuple(notes)
    values = []
    for index in indices:
        try:
            deep = reader.deep_values(index)
        except DataError:
            continue  # It is reported when it is trained on.
        if deep is None:
            break
        step = max(1, int((deep.shape[0] * deep.shape[1] / 250_000) ** 0.5))
        values.append(deep[::step, ::step].reshape(-1, deep.shape[2]))
    if not values or len({v.shape[1] for v in values}) > 1:
        return section, tuple(notes)
    joined = np.concatenate(values).astype(np.float64)
    joined = joined[np.isfinite(joined).all(axis=1)]
    rows = [tuple(float(f"{v:.6g}") for v in np.percentile(band, (0.1, 99.9))) for band in joined.T]
    rows = tuple((low, high if high > low else low + 1.0) for low, high in rows)
    shown = ", ".join(f"{low:g} to {high:g}" for low, high in rows[:4]) + (", …" if rows[4:] else "")
    notes.append(
        f"the images have more than 8 bits: {shown} (0.1 to 99.9 % of the values) become 0 to 255, as data.value_range "
        "says from now on"
    )
    return dataclasses.replace(section, value_range=rows), tuple(notes)


def _recognised(splits: Splits, section: Data) -> tuple[Data, tuple[str, ...]]:
    """The section with the recognised meaning of mask files, and notes on it."""
    reader = splits.train
    kinds = getattr(reader, "kinds", ())
    overlap = section.multi_label or kinds or section.mask_encoding in ("bits", "planes", "files", "regions")
    decided = section.mask_encoding not in ("auto", "binary") or (
        section.mask_encoding == "binary" and section.mask_threshold
    )
    # A resumed or evaluated run knows the classes of masks that overlap.
    decided = section.multi_label and section.classes if decided and overlap else decided
    if not hasattr(reader, "mask_values") or decided:
        return section, ()
    length, masks, pixels, failed = len(reader.names), [], 0, []
    for index in np.unique(np.linspace(0, length - 1, min(length, _MASKS_LOOKED_AT)).astype(int)).tolist():
        try:
            masks.append((reader.names[index], reader.mask_values(index)))
        except DataError as error:
            failed.append(str(error))  # It is reported when it is trained on.
            continue
        pixels += masks[-1][1].values.size
        if pixels > _PIXELS_LOOKED_AT:
            break
    if not masks and not failed:
        return section, ()
    if not masks:
        raise DataError(f"None of the {len(failed)} masks that were looked at can be read. The first: {failed[0]}")
    if section.classes == () and splits.classes:
        section = dataclasses.replace(section, classes=splits.classes)
    found = overlapping_masks(masks, section, kinds) if overlap else None
    found = found or recognise_masks(masks, section)
    looked_at = "" if len(masks) == length else f" (seen in {len(masks)} of {length:,})"
    return dataclasses.replace(section, **found.fields), tuple(note + looked_at for note in found.notes)


def _called(opener: Callable, section: Data) -> Any:
    from trainer.data.augment.own import raised_at

    try:
        return opener(section) if takes(opener, 1) else opener()
    except DataError:
        raise
    except Exception as error:
        if section.source in SOURCES:
            raise
        raise DataError(f"config.data.source={section.source!r}: the function {raised_at(error)}") from error


def _changing_augmentations(train: Source, config: Config) -> list[str]:
    """A note on each augmentation of the user's that, called again on an example, gives another one."""
    found = []
    for function in train.functions if train.stream is None else ():
        alone = copy.copy(train)
        alone.functions = (function,)
        try:
            example = train.load_compact(0)
            first, second = (augmented(alone, config, 0, example) for _ in range(2))
        except Exception:  # It is met, and said, when it is trained on.
            continue
        if not all(np.array_equal(first[key], second[key]) for key in first):
            found.append(
                f"the augmentation {name_of(function)} gives another example when it is called again, so a resumed run "
                "will differ: draw from its argument `random` alone"
            )
    return found


def own_augmentations(config: Config, augment: Sequence[Callable | str] = ()) -> tuple[Callable, ...]:
    """The functions of config.augment.functions, then those passed to `Run`."""
    if callable(augment) or isinstance(augment, str):
        augment = (augment,)
    named = [resolve(name, "config.augment.functions") for name in config.augment.functions]
    functions = [*named, *(resolve(function, "augment") for function in augment)]
    for function in functions:
        if not callable(function):
            raise DataError(
                f"augment holds {function!r}, which cannot be called: an augmentation is a function of (example, "
                "random)."
            )
        if not takes(function, 2):
            layer = type(function).__module__.startswith("keras")
            how = "lambda example, random: {**example, 'image': layer(example['image'])}, for what leaves labels alone"
            raise DataError(
                f"augment holds {name_of(function)}, which does not take two arguments: an augmentation is a function "
                "of (example, random), the example a dict of arrays." + (f"\n  Around a layer: {how}." if layer else "")
            )
    return tuple(functions)


def _classes_of_masks(splits: Splits, section: Data) -> tuple[tuple[str, ...], str]:
    """Names for the classes of mask files, where neither config nor data name them."""
    if section.mask_encoding == "binary":
        return ("background", "foreground"), ""
    table = section.mask_ids or section.mask_colors
    if table:
        ids = sorted({row[-1] for row in table} - {section.void_id})
        names = tuple(f"class_{number}" for number in range(ids[-1] + 1))
        return names, f"{len(names)} classes, by the table of masks"
    reader = splits.train.reading(dataclasses.replace(section, classes=_ANY_ID))
    length = len(reader.names)
    indices = range(length) if length <= _LOOKED_AT else np.linspace(0, length - 1, _LOOKED_AT).astype(int).tolist()
    counts: dict[int, int] = {}
    for index in indices:
        try:
            values, pixels = np.unique(reader(index).label, return_counts=True)
        except DataError:
            continue  # It is reported when it is trained on.
        for value, count in zip(values.tolist(), pixels.tolist(), strict=True):
            counts[value] = counts.get(value, 0) + count
    looked_at = f"all {length} training masks" if length <= _LOOKED_AT else f"{_LOOKED_AT} of {length:,} training masks"
    return infer_classes(counts, section, looked_at)


def _check_lengths(config: Config, splits: Splits) -> None:
    """Refuses epochs without a known number of examples."""
    if getattr(splits.train, "length", 0) is not None:
        return
    counted = [
        f'{path}="{value}"'
        for path in ("train.length", "train.log_every", "evaluate.every", "checkpoint.every", "optimizer.warmup")
        if durations.parse(value := fields.get(config, path)).unit == "epochs"
    ]
    if counted:
        if getattr(splits.train, "stream", None) is None:
            raise DataError(
                f"{', '.join(counted)}: the length of an epoch is not known for {splits.title}. Write steps, such as "
                'train.length="1000 steps", or pass the data, too: Run(data=…).'
            )
        raise DataError(
            f"{', '.join(counted)}: the length of an epoch is not known: the tf.data.Dataset does not say how many "
            'examples it has.\n  Write steps, train.length="1000 steps", or say the number:\n'
            "    dataset.apply(tf.data.experimental.assert_cardinality(NUMBER))"
        )


def source_of(split: str, reader, section: Data, cache: MemoryCache, functions: Sequence[Callable] = ()) -> Source:
    stream = getattr(reader, "stream", None)
    features: Mapping | None = getattr(reader, "features", None)
    if hasattr(type(reader), "source"):  # not one passed on by a reader around it
        about = dict(channels=section.channels, cache=cache, functions=functions)
        return reader.source(split, classes=section.classes, void_id=section.void_id, **about)
    return Source(
        split,
        reader.names,
        reader,
        classes=section.classes,
        void_id=section.void_id,
        channels=section.channels,
        cache=cache if getattr(reader, "cached", True) else None,
        features=features,
        functions=functions,
        stream=stream,
        length=getattr(reader, "length", len(reader.names)),
    )
