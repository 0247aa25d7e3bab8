"""COCO's panoptic annotations: PNG files whose colours are numbers of segments, and a JSON file with their categories.

    path/annotations/panoptic_train2017.json   path/annotations/panoptic_train2017/*.png   path/train2017/*.jpg

A segment's number is red + 256 green + 65536 blue; 0 is void. The categories are the classes in the order of their ids,
things and stuff; none of them is a background.
"""

from __future__ import annotations

import collections
import dataclasses
import os
import threading
from collections.abc import Mapping, Sequence

import numpy as np

from configs.schema import Data
from trainer.data.errors import DataError, shown
from trainer.data.example import Example
from trainer.data.images.decode import bands_of, deep_values, read_image
from trainer.data.masks.class_ids import label_type
from trainer.data.masks.values import decode_values
from trainer.data.sources.agreement import read_both
from trainer.data.sources.formats.coco import (
    annotation_files,
    damaged_files,
    images_by_id,
    located,
    named_categories,
    read_files,
    split_in,
    whole,
)
from trainer.data.sources.formats.descriptions import stem_of
from trainer.data.sources.formats.tree import Tree, read_tree
from trainer.data.sources.splits import Splits, nothing_in
from trainer.data.sources.splitting import refuse_overlap, split_examples

TITLE = "COCO panoptic"
_UNKNOWN = -(2**31)
_tables = threading.local()


def recognise(tree: Tree) -> str:
    """By a JSON file whose annotations have segments_info."""
    return ", ".join(annotation_files(tree, panoptic=True)[:4])


@dataclasses.dataclass(frozen=True)
class Segmented:
    """An image, its PNG file, and the class id of each segment."""

    image: str
    mask: str
    segments: Mapping[int, int]
    split: str = ""


class PanopticReader:
    """Reads images with the classes of their segments."""

    def __init__(self, root: str, examples: Sequence[Segmented], data: Data):
        self.root = root
        self.examples = tuple(examples)
        self.names = tuple(shown(example.image) for example in examples)
        self._data = data

    def reading(self, data: Data) -> PanopticReader:
        """The same examples, read with another data section."""
        return PanopticReader(self.root, self.examples, data)

    def deep_values(self, index: int) -> np.ndarray | None:
        """As `FilePairs.deep_values`."""
        return deep_values(os.path.join(self.root, self.examples[index].image), self._data)

    def bands(self, index: int) -> int:
        """As `FilePairs.bands`."""
        return bands_of(os.path.join(self.root, self.examples[index].image), self._data)

    def __call__(self, index: int) -> Example:
        example, data = self.examples[index], self._data
        image, mask = (os.path.join(self.root, path) for path in (example.image, example.mask))
        return read_both(
            self.names[index],
            image,
            lambda: read_image(image, data, upright=False),
            mask,
            lambda: _label(mask, example.segments, data),
        )


def _label(path: str, segments: Mapping[int, int], data: Data) -> np.ndarray:
    values = decode_values(path, data.max_pixels, upright=False).values.astype(np.int32)
    numbers = values if values.ndim == 2 else values[:, :, 0] | values[:, :, 1] << 8 | values[:, :, 2] << 16
    # A table of all colours for each thread, reset after use: one look-up a pixel, whatever the number of segments.
    table = getattr(_tables, "classes", None)
    if table is None:
        table = _tables.classes = np.full(2**24, _UNKNOWN, np.int32)
    keys = np.fromiter([0, *segments], np.int64)
    try:
        table[keys] = [data.void_id, *segments.values()]
        label = table[numbers]
    finally:
        table[keys] = _UNKNOWN
    unknown = numbers[label == _UNKNOWN]
    if unknown.size:
        found, counts = np.unique(unknown, return_counts=True)
        first = ", ".join(f"{n} ({c} pixels)" for n, c in list(zip(found.tolist(), counts.tolist(), strict=True))[:8])
        raise DataError(
            f"{shown(path)}: {unknown.size} pixels are of segments that segments_info does not have: {first}."
        )
    return label.astype(label_type(data))


def open_splits(data: Data) -> Splits:
    """The splits of a folder with COCO's panoptic annotations."""
    refuse_overlap(data, TITLE)
    tree = read_tree(os.path.expanduser(data.path))
    files = annotation_files(tree, panoptic=True)
    if not files:
        return nothing_in(tree.root, "no JSON file with segments_info")
    read = read_files(tree, files)
    categories, notes = named_categories(tree, read)
    found = [categories[number] for number in sorted(categories, key=lambda n: (isinstance(n, str), n))]
    classes = data.classes or tuple(dict.fromkeys(found))
    strangers = [name for name in found if name not in classes]
    if strangers:
        raise DataError(
            f"{shown(tree.root)}: the data have categories that data.classes does not name: {', '.join(strangers[:8])}."
        )
    ids = {number: classes.index(name) for number, name in categories.items()}
    problems = damaged_files(tree, files, ("panoptic",))
    examples = [e for file, content in read.items() for e in _examples(file, content, ids, tree, problems)]
    notes.insert(0, f"recognised: {TITLE}, {', '.join(files[:4])}; what no segment covers is void")
    divided = split_examples(examples, data, shown(tree.root))
    return Splits(
        PanopticReader(tree.root, divided.train, data),
        PanopticReader(tree.root, divided.validation, data),
        test=PanopticReader(tree.root, divided.test, data) if divided.test else None,
        named=divided.named,
        classes=classes,
        title=shown(data.path),
        problems=tuple(problems),
        fatal=divided.fatal,
        notes=(*notes, *divided.notes),
        fields={"classes": classes, "mask_encoding": "ids"},
        advice="--config.data.bad_files=skip leaves such images out.",
    )


def _examples(file: str, content: Mapping, ids: Mapping, tree: Tree, problems: list[str]) -> list[Segmented]:
    at, examples = tree.shown(file), []
    images = images_by_id(file, content, tree, problems)
    annotated = collections.Counter()
    for annotation in content.get("annotations", []):
        number = whole(annotation.get("image_id"))
        name = f"{at}: the annotation of image {annotation.get('image_id')}"
        annotated[number] += 1
        if number not in images:
            problems.append(f"{name} is of none in the list of images.")
            continue
        if annotated[number] > 1:
            problems.append(f"{name} occurs twice.")
            continue
        image = located(images[number], file, tree, problems)
        png = str(annotation.get("file_name", ""))
        folder = os.path.dirname(file)
        near = f"{folder}/{stem_of(file)}" if folder else stem_of(file)
        mask = tree.find_image(png, near=near, split=split_in(file))
        if isinstance(mask, list):
            many = f"is there {len(mask)} times: {', '.join(mask[:3])}" if mask else "is not below the folder"
            problems.append(f"{name}: its mask {png!r} {many}.")
            continue
        segments, wrong = {}, []
        for segment in annotation.get("segments_info") or []:
            category = whole(segment.get("category_id")) if isinstance(segment, Mapping) else None
            key = whole(segment.get("id")) if isinstance(segment, Mapping) else None
            if category not in ids:
                wrong.append(f"{name}: segment {key}: its category {category} is not one of the file's.")
            elif not isinstance(key, int) or not 0 < key < 2**24:
                wrong.append(f"{name}: segment {key!r}: its id has to be a whole number from 1 to {2**24 - 1}.")
            elif key in segments:
                wrong.append(f"{name}: segment {key} occurs twice.")
            else:
                segments[key] = ids[category]
        problems += wrong
        if image is not None and not wrong:
            examples.append(Segmented(image, mask, segments, split_in(file)))
    bare = [str(image.get("file_name")) for number, image in images.items() if number not in annotated]
    if bare:
        problems.append(
            f"{at}: {len(bare)} images have no annotation: {', '.join(bare[:3])}{', …' if bare[3:] else ''}"
        )
    return examples
