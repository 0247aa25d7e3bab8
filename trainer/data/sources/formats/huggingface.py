"""Hugging Face datasets on disk: parquet files as on the hub, or the Arrow files of `save_to_disk`.

    path/data/train-00000-of-00001.parquet   path/data/validation-…     or path/train/0000.parquet
    path/train/data-00000-of-00001.arrow     path/dataset_dict.json

Images and masks are columns of files' bytes (`datasets.Image`), recognised by their names, or named by data.image_key
and data.mask_key. Class names are those of an id2label.json beside them.
"""

from __future__ import annotations

import collections
import dataclasses
import os
import re
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from configs.schema import Data
from trainer.data.errors import DataError, shown
from trainer.data.example import Example
from trainer.data.images.decode import bands_of, deep_values, read_image
from trainer.data.masks.class_ids import label_from
from trainer.data.masks.values import MaskValues, decode_values
from trainer.data.sources.agreement import read_both
from trainer.data.sources.formats.class_tables import above, find_table, id2label
from trainer.data.sources.formats.coco import split_in
from trainer.data.sources.formats.mask_files import by_values, says_masks, void_note
from trainer.data.sources.formats.tree import Tree, read_tree
from trainer.data.sources.splits import Splits, nothing_in
from trainer.data.sources.splitting import refuse_overlap, split_examples

TITLE = "a Hugging Face dataset"
_IMAGES = ("image", "img", "images", "pixel_values", "photo", "picture")
_MASKS = (
    "segmentation_mask mask masks label labels annotation annotations segmentation semantic_segmentation label_map gt "
    "target semantic ground_truth seg conditioning_image"
).split()
# Encoded images kept in memory, so that not each row of a shuffled order decompresses its group.
_KEPT_BYTES = 2**30


def recognise(tree: Tree) -> str:
    """By parquet files, or by Arrow files with a state.json of `save_to_disk`."""
    return next(iter(_files(tree)), "")


def _files(tree: Tree) -> list[str]:
    parquet = list(tree.files(".parquet"))
    saved = [p for p in tree.files(".arrow") if tree.has(f"{os.path.dirname(p)}/state.json".lstrip("/"))]
    return parquet or saved


@dataclasses.dataclass(frozen=True)
class Row:
    """An example: its file, the group of rows in it, the row in the group; `image` is its name."""

    image: str
    file: str
    group: int
    row: int
    split: str = ""


class RowGroups:
    """The columns of groups of rows, read when needed and kept while they fit."""

    def __init__(self, root: str, columns: Sequence[str]):
        self._root, self._columns = root, list(columns)
        self._kept: collections.OrderedDict[tuple[str, int], Any] = collections.OrderedDict()
        self._size, self._lock = 0, threading.Lock()

    def values(self, row: Row) -> dict[str, Any]:
        """Column -> value of a row."""
        key = row.file, row.group
        with self._lock:
            table = self._kept.get(key)
            if table is None:
                table = self._kept[key] = self._read(row.file, row.group)
                self._size += table.nbytes
                while self._size > _KEPT_BYTES and len(self._kept) > 1:
                    _, oldest = self._kept.popitem(last=False)
                    self._size -= oldest.nbytes
            else:
                self._kept.move_to_end(key)
        return {name: table.column(name)[row.row].as_py() for name in self._columns}

    def _read(self, file: str, group: int):
        path = os.path.join(self._root, file)
        try:
            return _opened(path).read_row_group(group, self._columns) if file.endswith(".parquet") else _arrow(path)
        except Exception as error:  # pyarrow has its own errors for each kind of damage
            raise DataError(f"{shown(path)}: cannot be read: {str(error).splitlines()[0][:200]}") from error


def _pyarrow(path: str):
    try:
        import pyarrow
        import pyarrow.parquet  # noqa: F401 - an attribute of pyarrow from then on
    except ImportError as error:
        raise DataError(f"{shown(path)}: parquet and Arrow files are read by pyarrow: pip install pyarrow") from error
    return pyarrow


def _opened(path: str):
    return _pyarrow(path).parquet.ParquetFile(path, memory_map=True)


def _arrow(path: str):
    pyarrow = _pyarrow(path)
    source = pyarrow.memory_map(path)
    try:
        return pyarrow.ipc.open_stream(source).read_all()
    except pyarrow.ArrowInvalid:
        return pyarrow.ipc.open_file(source).read_all()


class RowReader:
    """Reads examples from groups of rows."""

    def __init__(self, root: str, groups: RowGroups, rows: Sequence[Row], keys: tuple[str, str], data: Data):
        self.root, self.groups, self.rows, self.keys = root, groups, tuple(rows), keys
        self.names = tuple(row.image for row in rows)
        self._data = data

    def reading(self, data: Data) -> RowReader:
        """The same rows, read with another data section."""
        return RowReader(self.root, self.groups, self.rows, self.keys, data)

    def deep_values(self, index: int) -> np.ndarray | None:
        """As `FilePairs.deep_values`."""
        return deep_values(self._file(index, 0), self._data)

    def bands(self, index: int) -> int:
        """As `FilePairs.bands`."""
        return bands_of(self._file(index, 0), self._data)

    def mask_values(self, index: int) -> MaskValues:
        """As `FilePairs.mask_values`."""
        return self._mask(self._file(index, 1), self._at(index, 1))

    def __call__(self, index: int) -> Example:
        data = self._data
        image, mask = self._at(index, 0), self._at(index, 1)
        values = self._values(index)
        return read_both(
            self.names[index],
            image,
            lambda: read_image(self._content(values[self.keys[0]], image), data, name=image, upright=False),
            mask,
            lambda: label_from(self._mask(self._content(values[self.keys[1]], mask), mask), data, mask),
        )

    def _mask(self, content: bytes | str | np.ndarray, at: str) -> MaskValues:
        if isinstance(content, np.ndarray):
            return MaskValues(content, None, "array")
        return decode_values(content, self._data.max_pixels, name=at, upright=False)

    def _at(self, index: int, key: int) -> str:
        return f"{shown(os.path.join(self.root, self.rows[index].image))}: {self.keys[key]}"

    def _values(self, index: int) -> dict[str, Any]:
        return self.groups.values(self.rows[index])

    def _file(self, index: int, key: int):
        return self._content(self._values(index)[self.keys[key]], self._at(index, key))

    def _content(self, value: Any, at: str) -> bytes | str | np.ndarray:
        """A file's bytes, its path, or an array of numbers."""
        if isinstance(value, dict):
            path = value.get("path")
            value = value.get("bytes")
            if value is None and path:
                value = os.path.join(self.root, path)
                if not os.path.isfile(value):
                    raise DataError(f"{at}: holds no bytes, and the file {shown(path)!r} is not there.")
        if value is None:
            raise DataError(f"{at}: is empty (null).")
        if isinstance(value, list):
            array = np.asarray(value)
            if array.ndim != 2 or array.dtype.kind not in "iub":
                raise DataError(f"{at}: is no array [height, width] of whole numbers: shape {list(array.shape)}.")
            return array
        if isinstance(value, str):
            return os.path.join(self.root, value)
        return value


def open_splits(data: Data) -> Splits:
    """The splits of a folder with parquet or Arrow files."""
    refuse_overlap(data, TITLE)
    tree = read_tree(os.path.expanduser(data.path))
    files = _files(tree)
    if not files:
        return nothing_in(tree.root, "no parquet file")
    problems: list[str] = []
    problems += _missing_shards(tree, files)
    rows, schema = _rows(tree, files, problems)
    if schema is None:
        return Splits(title=shown(tree.root), fatal=tuple(problems))
    keys = _keys(tree, schema, data)
    groups = RowGroups(tree.root, keys)
    divided = split_examples(rows, data, shown(tree.root))
    notes = divided.notes
    notes.insert(0, f"recognised: {TITLE}, columns {keys[0]!r} and {keys[1]!r}")
    fields: dict[str, Any] = {}
    if not says_masks(data):
        places = above(files[0])
        table = find_table(tree, places)
        found = next((entries for place in places if (entries := id2label(tree, place))), [])
        entries = found or list(table.values if table else ())
        if entries:
            fields = by_values(entries, data)
            notes += [f"classes of {'id2label.json' if found else table.path}", *void_note(entries)]
    return Splits(
        RowReader(tree.root, groups, divided.train, keys, data),
        RowReader(tree.root, groups, divided.validation, keys, data),
        test=RowReader(tree.root, groups, divided.test, keys, data) if divided.test else None,
        named=divided.named,
        classes=fields.get("classes", ()),
        title=shown(data.path),
        problems=tuple(problems),
        fatal=divided.fatal,
        notes=tuple(notes),
        fields=fields,
        advice="--config.data.bad_files=skip leaves such rows out.",
    )


def _missing_shards(tree: Tree, files: Sequence[str]) -> list[str]:
    """Missing shards by the names of the others: train-00000-of-00002."""
    shards: dict[tuple[str, int], set[int]] = {}
    for file in files:
        found = re.fullmatch(r"(.*?)-(\d{5})-of-(\d{5}).*", file)
        if found:
            shards.setdefault((found[1], int(found[3])), set()).add(int(found[2]))
    return [
        f"{tree.shown(stem)}-…-of-{count:05}: {count - len(numbers)} of {count} files are missing."
        for (stem, count), numbers in shards.items()
        if len(numbers) < count
    ]


def _rows(tree: Tree, files: Sequence[str], problems: list[str]) -> tuple[list[Row], Any]:
    """The rows of all files, and the first file's schema; files with another schema are problems."""
    rows, schema = [], None
    for file in files:
        path = tree.at(file)
        try:
            if file.endswith(".parquet"):
                opened = _opened(path)
                own, counts = (
                    opened.schema_arrow,
                    [opened.metadata.row_group(n).num_rows for n in range(opened.metadata.num_row_groups)],
                )
            else:
                table = _arrow(path)
                own, counts = table.schema, [table.num_rows]
        except DataError:
            raise
        except Exception as error:  # pyarrow has its own errors for each kind of damage
            problems.append(f"{shown(path)}: cannot be read: {str(error).splitlines()[0][:200]}")
            continue
        if schema is not None and own.names != schema.names:
            problems.append(
                f"{shown(path)}: has the columns {', '.join(own.names)}, and the first file {schema.names}."
            )
            continue
        schema = schema or own
        number = 0
        for group, count in enumerate(counts):
            for row in range(count):
                rows.append(Row(f"{file}[{number}]", file, group, row, split_in(file)))
                number += 1
    return rows, schema


def _keys(tree: Tree, schema, data: Data) -> tuple[str, str]:
    """The columns of images and of masks."""
    defaults = Data()
    chosen = []
    for field, usual in (("image_key", _IMAGES), ("mask_key", _MASKS)):
        key = getattr(data, field)
        if key in schema.names:
            chosen.append(key)
            continue
        if key != getattr(defaults, field):
            raise DataError(f"data.{field}={key!r}: {shown(tree.root)} has the columns {', '.join(schema.names)}.")
        possible = [name for name in schema.names if name.lower() in usual and _holds_pictures(schema.field(name).type)]
        if len(possible) != 1:
            pictures = [name for name in schema.names if _holds_pictures(schema.field(name).type)]
            what = "images" if field == "image_key" else "masks"
            flags = "".join(f"\n    --config.data.{field}={name}" for name in possible or pictures)
            raise DataError(
                f"{shown(tree.root)}: which column holds the {what} cannot be known: {', '.join(schema.names)}."
                + (f" Say it:{flags}" if flags else " None of them holds pictures.")
            )
        chosen.append(possible[0])
    return chosen[0], chosen[1]


def _holds_pictures(kind) -> bool:
    """Whether a column has bytes, a path, a struct of both, or nested lists of numbers."""
    text = str(kind)
    return text.startswith(("struct<bytes", "struct<path", "binary", "large_binary", "list<", "extension<"))
