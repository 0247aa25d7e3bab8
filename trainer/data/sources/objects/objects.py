"""Data passed as Python objects: anything with len() and [i], arrays, a `tf.data.Dataset`, a mapping of these."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from configs.schema import Data
from trainer.data.augment.own import raised_at
from trainer.data.errors import DataError, shown
from trainer.data.example import Example, Feature
from trainer.data.source import Numbered
from trainer.data.sources.objects.layout import Layout, all_of, arrays_of, check_items, find_layout, skeleton
from trainer.data.sources.objects.stream import StreamReader, is_stream
from trainer.data.sources.objects.volumes import open_volumes
from trainer.data.sources.splits import Splits
from trainer.data.sources.splitting import held_out

# Examples examined before the first step; of more, this many, evenly spaced.
_LOOKED_AT = 200
_SPLITS = ("train", "validation")


def open_object(value: Any, data: Data, title: str = "") -> Splits:
    """The splits of a user's object.

    Args:
      value: an object with len() and [i], whose items are (image, label), a mapping with "image", or an image alone; a
        pair of arrays (images, labels); a mapping of arrays by key ("image", "label", …); a `tf.data.Dataset`; or
        {"train": …, "validation": …} of any of these, where validation may be None.
      data: the config's section: classes, mask_ids, void_id, validation_fraction, split_seed, bad_files.
      title: its name in messages; by default its type.

    Raises:
      DataError: it is something else, is empty, or its examples do not fit together; with every problem found.
    """
    if isinstance(value, Splits):
        return value
    shapes = [getattr(part, "shape", ()) for part in value] if isinstance(value, tuple) else []
    if len(shapes) == 3 and all(len(shape) > 2 for shape in shapes[:2]) and len({shape[:1] for shape in shapes}) == 1:
        # As for Keras's `fit`; a tuple of three images would have no labels.
        raise DataError(
            f"data is three arrays of {shapes[0][0]} each, and a pair is (images, labels). Name the third, and loss "
            'and metrics get it by that name: data={"image": …, "label": …, "weight": …}.'
        )
    title = title or _title(value)
    volumes = open_volumes(value, data, title)
    if volumes is not None:
        return volumes
    given = {"train": value}
    prefix = {"train": "data", "validation": "data"}
    if isinstance(value, Mapping) and not set(value) - {*_SPLITS, "test"} and value:
        given, prefix = dict(value), {split: split for split in _SPLITS}
        if given.get("train") is None:
            raise DataError(f'data has no "train": it has {", ".join(map(repr, value))}.')
    readers = {split: _reader(given[split], prefix[split]) for split in _SPLITS if given.get(split) is not None}
    classes = tuple(str(name) for name in getattr(given["train"], "classes", ()) or ())
    layout, notes, problems = _examined(readers, data, classes)
    for reader in readers.values():
        reader.layout = layout[reader]
    if set(given) == {"train"} and not isinstance(readers["train"], StreamReader):
        readers["train"], readers["validation"] = _split(readers["train"], data)
    elif "validation" not in readers:
        notes.append(
            "no validation data, so nothing is evaluated: "
            + ("a tf.data.Dataset cannot be split; " if "validation" not in given else "")
            + 'data={"train": …, "validation": …}'
        )
    found = readers["train"].layout
    fields = {"classes": found.data.classes, "channels": found.channels, "labels": found.data.labels}
    if found.label.kind in ("ids", "binary") and data.mask_encoding == "auto":
        fields["mask_encoding"] = found.label.kind  # other data that are scored are read alike
    return Splits(
        readers["train"],
        readers.get("validation"),
        classes=found.data.classes,
        channels=found.channels,
        title=title,
        notes=tuple(notes),
        problems=tuple(problems),
        fields=fields,
        advice="--config.data.bad_files=skip leaves such examples out.",
    )


def _title(value: Any) -> str:
    if isinstance(value, tuple):
        return "arrays"
    return "a mapping" if isinstance(value, Mapping) else f"a {type(value).__name__}"


class ObjectReader:
    """Reads the examples of an object with len() and [i].

    Args:
      get: returns item `i`.
      names: a name for each item.
      exclusive: whether only one thread at a time reads items: few objects with files allow more.
    """

    def __init__(self, get: Callable[[int], Any], names: Sequence[str], *, exclusive: bool):
        self.names = names
        self.layout: Layout | None = None
        self.cached = exclusive
        self._get = get
        self._order: Sequence[int] | None = None
        self._lock = threading.Lock() if exclusive else None

    @property
    def features(self) -> Mapping[str, Feature]:
        return self.layout.features

    def __call__(self, index: int) -> Example:
        arrays, name = self.arrays(index)
        return self.layout.example(arrays, name)

    def arrays(self, index: int) -> tuple[dict[str, np.ndarray], str]:
        """Item `index` as arrays by key, and its name."""
        name = self.names[index]
        position = index if self._order is None else self._order[index]
        try:
            if self._lock is None:
                item = self._get(position)
            else:
                with self._lock:
                    item = self._get(position)
        except (DataError, MemoryError):
            raise
        except Exception as error:  # The user's own code.
            raise DataError(f"{name}: reading it {raised_at(error)}") from error
        arrays = arrays_of(item, name)
        if "name" in arrays and arrays["name"].dtype == object and not arrays["name"].ndim:
            text = arrays["name"].item()
            name = f"{name} ({shown(text)})"
        return arrays, name

    def of(self, order: Sequence[int]) -> ObjectReader:
        """The same reader with some of the examples."""
        made = copy.copy(self)
        made._order = tuple(order)
        made.names = tuple(self.names[i] for i in order)
        return made


def _reader(value: Any, prefix: str) -> ObjectReader | StreamReader:
    """The reader of an object; raises a DataError if the object cannot be read."""
    if is_stream(value):
        return StreamReader(value, prefix)
    columns = _columns(value)
    if columns is not None:
        lengths = {key: len(column) for key, column in columns.items()}
        if len(set(lengths.values())) > 1:
            raise DataError(
                f"{prefix}: the arrays have different lengths: "
                + ", ".join(f"{key} {length}" for key, length in lengths.items())
                + "."
            )
        length = next(iter(lengths.values()))
        reader = ObjectReader(
            lambda i: {key: column[i] for key, column in columns.items()}, Numbered(prefix, length), exclusive=False
        )
    else:
        indexed = hasattr(value, "__getitem__") and hasattr(value, "__len__")
        if not indexed or isinstance(value, (str, bytes, Mapping, type)):
            raise DataError(_unreadable(value, prefix))
        length = len(value)
        own = getattr(value, "names", None)
        named = isinstance(own, (list, tuple)) and len(own) == length
        names = tuple(map(str, own)) if named else Numbered(prefix, length)
        exclusive = not isinstance(value, (np.ndarray, list, tuple))
        reader = ObjectReader(value.__getitem__, names, exclusive=exclusive)
    if not length:
        raise DataError(f"{prefix} is empty: its length is 0.")
    return reader


def _columns(value: Any) -> dict[str, Any] | None:
    """Arrays by key if the object is a pair or a mapping of them; otherwise None."""
    if isinstance(value, Mapping):
        return dict(value) if "image" in value and all(_is_column(column) for column in value.values()) else None
    if isinstance(value, tuple) and len(value) == 2 and all(_is_column(column) for column in value):
        images, labels = value
        # Two examples, each an image and a label, are also a pair.
        if not all(isinstance(column, (list, tuple)) and len(column) == 2 for column in value):
            return {"image": images, "label": labels}
    return None


def _is_column(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return bool(value)
    return hasattr(value, "shape") and hasattr(value, "__getitem__") and len(value.shape) > 0


# Keys of others -> what they are called here.
_MEANT = {
    **dict.fromkeys(("val", "valid", "dev", "test"), "validation"),
    **dict.fromkeys(("x", "images", "img", "inputs"), "image"),
    **dict.fromkeys(("y", "labels", "mask", "masks", "target"), "label"),
}


def _unreadable(value: Any, prefix: str) -> str:
    kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
    takes = (
        f"{prefix} is {kind}; data is an object with len() and [i] whose items are (image, label) or dicts, a pair of "
        "arrays (images, labels), a tf.data.Dataset, or a mapping {'train': …, 'validation': …} of these."
    )
    if isinstance(value, (str, bytes)):
        return f"{takes}\n  A folder goes into the config: Data(source='folder', path={value!r})."
    if isinstance(value, Mapping):
        renamed = ", ".join(f"{key!r} to {_MEANT[key]!r}" for key in value if key in _MEANT)
        keys = f"{takes}\n  This one has the keys {', '.join(map(repr, value)) or 'none'}."
        return f"{keys} Rename {renamed}." if renamed else keys
    if isinstance(value, Iterator) or hasattr(value, "__iter__"):
        return (
            f"{takes}\n  What can only be iterated over becomes a data set so:\n"
            "    tf.data.Dataset.from_generator(function, output_signature=(tf.TensorSpec([None, None, 3], tf.uint8), "
            "tf.TensorSpec([None, None], tf.uint8)))"
        )
    if isinstance(value, type):
        return f"{takes}\n  This is the class itself: pass an object of it, data={value.__name__}(…)."
    missing = [call for call in ("__len__", "__getitem__") if not hasattr(value, call)]
    return f"{takes}\n  This one has no {' and no '.join(missing)}." if missing else takes


def _examined(readers: Mapping[str, Any], data: Data, classes: tuple[str, ...]):
    """Layout by reader, notes and problems, from the first look at the examples."""
    found, notes, problems = {}, [], []
    layout = None
    for split, reader in readers.items():
        items, looked_at, wrong, remarks = _look(reader)
        notes += [remark for remark in remarks if remark not in notes]
        problems += wrong
        if not items:
            raise all_of(problems)
        section = data if layout is None else layout.data
        own, recognised = find_layout(items, section, looked_at=looked_at, classes=classes)
        if layout is None:
            layout, notes = own, notes + recognised
        else:
            mismatch = _mismatch(split, own, layout)
            if mismatch:
                raise DataError(mismatch)
        problems += check_items(items, own)
        found[reader] = own
    return found, notes, problems


def _look(reader) -> tuple[list, str, list[str], list[str]]:
    """Some examples without their pixels, their numbers, problems of others, and remarks."""
    if isinstance(reader, StreamReader):
        return reader.look(_LOOKED_AT)
    length = len(reader.names)
    indices = range(length) if length <= _LOOKED_AT else np.linspace(0, length - 1, _LOOKED_AT).astype(int).tolist()
    items, problems, first = [], [], None
    for index in indices:
        try:
            arrays, name = reader.arrays(index)
        except DataError as error:
            problems.append(str(error))
            continue
        first = (index, arrays) if first is None else first
        items.append((name, skeleton(arrays)))
    remarks = []
    if first is not None and not _same(first[1], reader.arrays(first[0])[0]):
        reader.cached = False
        remarks.append(
            f"{reader.names[first[0]]} is not the same each time it is read, so a resumed run will differ: put random "
            "changes into augment=[…], which draws from (seed, example number)"
        )
    looked_at = f"all {length} examples" if length <= _LOOKED_AT else f"{_LOOKED_AT} of {length:,} examples"
    return items, looked_at, problems, remarks


def _same(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[key], second[key]) for key in first)


def _mismatch(split: str, own: Layout, train: Layout) -> str:
    """Why a split does not fit the training split; "" if it does."""
    if own.channels != train.channels:
        return f"{split} images have {own.channels} channels, and train images {train.channels}."
    if own.eight_bits != train.eight_bits:
        return f"{split} images are {_bits(own)}, and train images {_bits(train)}: scale both alike."
    if own.label != train.label:
        return f"{split} labels are of the kind {own.label.kind!r}, and train labels {train.label.kind!r}: use one."
    for key in own.extras.keys() & train.extras.keys():
        if own.extras[key] != train.extras[key]:
            other = train.extras[key]
            return f"{split}[i][{key!r}] is {own.extras[key]}, and in train {other}: use one shape and type."
    return ""


def _bits(layout: Layout) -> str:
    return "uint8" if layout.eight_bits else "numbers of another type than uint8"


def _split(reader: ObjectReader, data: Data) -> tuple[ObjectReader, ObjectReader]:
    """Splits by a hash of the name: examples added later leave the others where they are."""
    count = len(reader.names)
    if count < 2:
        raise DataError(
            "data holds 1 example; one is needed to train on and another to evaluate. To evaluate nothing: "
            'data={"train": …, "validation": None}.'
        )
    chosen = held_out(reader.names, data)
    return reader.of([i for i in range(count) if i not in chosen]), reader.of(sorted(chosen))
