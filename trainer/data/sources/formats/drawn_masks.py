"""Images whose labels are drawn from annotations: reader, classes and splits, for every such format."""

from __future__ import annotations

import collections
import dataclasses
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from configs.schema import Data
from trainer.data.errors import DataError, shown
from trainer.data.example import Example, Feature, overlapping_features
from trainer.data.images.decode import bands_of, deep_values, read_image
from trainer.data.images.files import open_image
from trainer.data.masks.class_ids import label_type
from trainer.data.sources.formats.polygons import Shape, draw, has_pycocotools
from trainer.data.sources.formats.tree import Tree
from trainer.data.sources.headers import MOST_PAIRS
from trainer.data.sources.splits import Splits
from trainer.data.sources.splitting import split_examples

BACKGROUND = ("background", "_background_")
VOID = ("__ignore__", "ignore", "ignored", "void", "unlabeled", "unlabelled")


@dataclasses.dataclass(frozen=True)
class Drawing:
    """An image with the objects over it.

    image: its path relative to the folder.
    shapes: in order, the later on top; or a function that returns them for the image's (height, width).
    size: (height, width) by the annotation; None if it has none.
    split: "train", "validation" or "test" by the annotation; "" leaves it to the folders' names.
    """

    image: str
    shapes: tuple[Shape, ...] | Callable[[int, int], tuple[Shape, ...]]
    size: tuple[int, int] | None = None
    split: str = ""


class DrawnReader:
    """Reads images with labels drawn from shapes; pixels without a shape are class 0."""

    def __init__(self, root: str, drawings: Sequence[Drawing], data: Data):
        self.root = root
        self.drawings = tuple(drawings)
        self.names = tuple(shown(drawing.image) for drawing in drawings)
        self._data = data

    @property
    def features(self) -> dict[str, Feature] | None:
        """As `FilePairs.features`."""
        return overlapping_features(self._data)

    def reading(self, data: Data) -> DrawnReader:
        """The same drawings, read with another data section."""
        return DrawnReader(self.root, self.drawings, data)

    def deep_values(self, index: int) -> np.ndarray | None:
        """As `FilePairs.deep_values`."""
        return deep_values(os.path.join(self.root, self.drawings[index].image), self._data)

    def bands(self, index: int) -> int:
        """As `FilePairs.bands`."""
        return bands_of(os.path.join(self.root, self.drawings[index].image), self._data)

    def __call__(self, index: int) -> Example:
        drawing, path = self.drawings[index], os.path.join(self.root, self.drawings[index].image)
        # Annotations are drawn over the pixels as stored, so an orientation tag is ignored.
        image = read_image(path, self._data, upright=False)
        size = image.shape[:2]
        _check_size(drawing, path, size)
        shapes = drawing.shapes(*size) if callable(drawing.shapes) else drawing.shapes
        label = self._planes(shapes, size, path) if self._data.multi_label else self._drawn(shapes, size, path)
        return Example(image, label, self.names[index])

    def _drawn(self, shapes: Sequence[Shape], size: tuple[int, int], path: str) -> np.ndarray:
        return draw(shapes, size, label_type(self._data), shown(path))

    def _planes(self, shapes: Sequence[Shape], size: tuple[int, int], path: str) -> np.ndarray:
        """0 and 1 `[height, width, classes]`, each class drawn by itself; a void shape is void in all classes."""
        data, planes = self._data, []
        for number in range(len(data.classes)):
            own = [shape for shape in shapes if shape.class_id in (number, data.void_id)]
            ones = [s if s.class_id == data.void_id else dataclasses.replace(s, class_id=1) for s in own]
            planes.append(self._drawn(ones, size, path))
        return np.stack(planes, axis=2)


def _check_size(drawing: Drawing, path: str, size: tuple[int, int]) -> None:
    if drawing.size is not None and tuple(drawing.size) != tuple(size):
        raise DataError(
            f"{shown(path)}: is {size[1]} x {size[0]} pixels (width x height), and its annotations are for "
            f"{drawing.size[1]} x {drawing.size[0]}."
        )


class Labels:
    """The classes of data that name them: the background first, then the names in their order.

    Args:
      found: the names in the data, in the order of their ids.
      data: data.classes, if given, selects and orders them; void_id.
      meant: the word for labels in messages: "label", "category".
    Attributes:
      classes: the names by class id.
    """

    def __init__(self, found: Iterable[str], data: Data, *, meant: str = "label"):
        names = [name for name in dict.fromkeys(found) if name]
        self._meant, self._void = meant, data.void_id
        self._unknown: dict[str, list[str]] = collections.defaultdict(list)
        own = [name for name in names if name.lower() not in BACKGROUND and name.lower() not in VOID]
        # Classes that overlap have a plane each, and pixels without any are no class.
        self.classes = data.classes or (tuple(own) if data.multi_label else ("background", *own))
        self._background = None if data.multi_label else 0
        if data.classes and data.classes[0] in own and not data.multi_label:
            ordered = ",".join(("background", *data.classes))
            raise DataError(
                f"data.classes begins with {data.classes[0]!r}, which the data draw; what no {meant} covers is class "
                f"0, so name that first: --config.data.classes={ordered}"
            )
        if not own and not data.classes:
            raise DataError(f"The annotations name no {meant} at all.")
        self._ids = {name: number for number, name in enumerate(self.classes)}
        self._known = set(names)

    def id_of(self, name: str, at: str) -> int | None:
        """The class id of a label; None if it is not a class, which is noted as a fault of `at`."""
        if name in self._ids and (name in self._known or name in self.classes):
            return self._ids[name]
        if name.lower() in BACKGROUND:
            return self._background
        if name.lower() in VOID:
            return self._void
        self._unknown[name].append(at)
        return None

    def problems(self) -> list[str]:
        """A problem for each label that is not a class."""
        known = ", ".join(self.classes)
        return [
            f"{places[0]}: its {self._meant} {name!r} is not one of the classes: {known}"
            + (f". The same in {len(places) - 1} more" if places[1:] else "")
            + "."
            for name, places in self._unknown.items()
        ]


def drawn_splits(
    tree: Tree,
    drawings: Sequence[Drawing],
    labels: Labels,
    data: Data,
    *,
    problems: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> Splits:
    """The splits of drawings: those stated by the data, otherwise by a hash of the images' names.

    Args:
      tree: the folder.
      drawings: in any order.
      labels: their classes, and the labels' problems.
      problems: earlier problems of objects and images.
      notes: what was recognised.
    """
    problems, notes = [*problems, *labels.problems()], list(notes)
    twice = [path for path, times in collections.Counter(d.image for d in drawings).items() if times > 1]
    problems += [f"{tree.shown(path)}: is annotated twice; which of them is meant?" for path in twice]
    problems += _header_problems(tree, drawings, data) + _outside(tree, drawings)
    once = [drawing for drawing in drawings if drawing.image not in twice]
    divided = split_examples(once, data, shown(tree.root))
    notes += divided.notes + _alike(labels.classes)
    if any(_by_coco(drawing) for drawing in drawings[:100]) and not has_pycocotools():
        notes.append("polygons are drawn by Pillow; COCO's own pixels along edges come with: pip install pycocotools")
    return Splits(
        DrawnReader(tree.root, divided.train, data),
        DrawnReader(tree.root, divided.validation, data),
        test=DrawnReader(tree.root, divided.test, data) if divided.test else None,
        named=divided.named,
        classes=labels.classes,
        title=shown(data.path),
        problems=tuple(problems),
        notes=tuple(notes),
        fields={"classes": labels.classes, "mask_encoding": "ids"},
        fatal=divided.fatal,
        advice="--config.data.bad_files=skip leaves such objects and images out.",
    )


def _alike(classes: Sequence[str]) -> list[str]:
    """A note on classes whose names differ only in case and blanks: they are often the same."""
    by_name = collections.defaultdict(list)
    for name in classes:
        by_name["".join(name.casefold().split())].append(name)
    pairs = [" and ".join(map(repr, names)) for names in by_name.values() if len(names) > 1]
    return [f"{', '.join(pairs)} are classes of their own, and differ in case or blanks alone"] if pairs else []


def _by_coco(drawing: Drawing) -> bool:
    return not callable(drawing.shapes) and any(shape.drawn == "coco" and shape.polygons for shape in drawing.shapes)


def _header_problems(tree: Tree, drawings: Sequence[Drawing], data: Data) -> list[str]:
    """Problems of the first `MOST_PAIRS` images: unreadable, or of another size than their annotations."""

    def problem(drawing: Drawing) -> str:
        path = tree.at(drawing.image)
        try:
            opened = open_image(path, data.max_pixels, header=True)
        except DataError as error:
            return str(error)
        try:
            _check_size(drawing, path, opened.picture.size[::-1])
        except DataError as error:
            return str(error)
        finally:
            opened.stream.close()
        return ""

    with ThreadPoolExecutor(8) as pool:
        return [text for text in pool.map(problem, drawings[:MOST_PAIRS]) if text]


def _outside(tree: Tree, drawings: Sequence[Drawing]) -> list[str]:
    """Objects outside of their image: the annotation belongs to another picture, or another size."""
    found = []
    for drawing in drawings:
        if drawing.size is None or callable(drawing.shapes):
            continue
        height, width = drawing.size
        for shape in drawing.shapes:
            x = [point[0] for polygon in shape.polygons for point in polygon]
            y = [point[1] for polygon in shape.polygons for point in polygon]
            if x and (max(x) < 0 or max(y) < 0 or min(x) > width or min(y) > height):
                found.append(
                    f"{tree.shown(drawing.image)}: {shape.name} lies outside the image of {width} x {height}: x from "
                    f"{min(x):g} to {max(x):g}, y from {min(y):g} to {max(y):g}."
                )
    return found


def without_annotation(tree: Tree, drawings: Sequence[Drawing], folders: Iterable[str]) -> list[str]:
    """A note on images without annotations in the folders of others: they may be background, or not annotated yet."""
    drawn, places = {drawing.image for drawing in drawings}, set(folders)
    bare = [p for folder in places for p in tree.pictures_in(folder) if p not in drawn]
    if not bare:
        return []
    first = ", ".join(map(shown, sorted(bare)[:3])) + (", …" if bare[3:] else "")
    return [f"{len(bare)} images without an annotation are not read: {first}"]


def collected(problems: list[str], make: Callable[[], Shape | None]) -> Iterable[Shape]:
    """The result of `make`, or None with its `DataError` among the problems."""
    try:
        shape = make()
    except DataError as error:
        problems.append(str(error))
        return ()
    return () if shape is None else (shape,)


def size_of(height, width, at: str) -> tuple[int, int] | None:
    """(height, width) by an annotation; None if it has none.

    Raises:
      DataError: they are not whole numbers.
    """
    if not height or not width:
        return None
    try:
        size = int(height), int(width)
        if size != (float(height), float(width)):
            raise ValueError
    except (TypeError, ValueError) as error:
        raise DataError(f"{at}: its height and width are no whole numbers: {height!r}, {width!r}.") from error
    return size
