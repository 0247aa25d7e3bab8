"""LabelMe's annotations: one JSON file an image, with outlines and their labels; class names come from the labels.

Every kind of shape is drawn as `labelme.utils.shapes_to_label` draws it, lines and points with its widths. "__ignore__"
is void.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np

from configs.schema import Data
from trainer.data.errors import DataError, shown
from trainer.data.sources.formats.descriptions import read_json, stem_of
from trainer.data.sources.formats.drawn_masks import (
    Drawing,
    Labels,
    collected,
    drawn_splits,
    size_of,
    without_annotation,
)
from trainer.data.sources.formats.polygons import LINE_WIDTH, Shape, mask_of_png, points_of
from trainer.data.sources.formats.tree import Tree, read_tree
from trainer.data.sources.splits import Splits

TITLE = "LabelMe"

# Shapes without an area, and the radius that a point is drawn with.
_THIN, _POINT = ("line", "linestrip", "point", "points"), 5


def recognise(tree: Tree) -> str:
    """By a list "shapes" in one of the first JSON files of any folder."""
    files = tree.first_files(".json", 3)
    return next((f'{path} with "shapes"' for path in files if _is_labelme(tree.at(path))), "")


def _is_labelme(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            begin = file.read(2**20)
    except OSError:
        return False
    return b'"shapes"' in begin and (b'"imagePath"' in begin or b'"shape_type"' in begin or b'"points"' in begin)


def open_splits(data: Data) -> Splits:
    """The splits of a folder with LabelMe's files."""
    tree = read_tree(os.path.expanduser(data.path))
    problems: list[str] = []
    read = {}
    for file in tree.files(".json"):
        try:
            content = read_json(tree.at(file))
        except DataError as error:
            problems.append(str(error))
            continue
        if isinstance(content, Mapping) and isinstance(content.get("shapes"), list):
            read[file] = content
        elif not isinstance(content, Mapping) or "imagePath" in content or "imageData" in content:
            problems.append(f'{tree.shown(file)}: is not LabelMe\'s: it has no list "shapes".')
    if not read:
        missing = f'{shown(tree.root)}: has no JSON file of LabelMe, with "shapes".'
        return Splits(title=shown(tree.root), fatal=(*problems, missing))
    shapes = [shape for content in read.values() for shape in content["shapes"] if isinstance(shape, Mapping)]
    labels = Labels(sorted({str(shape.get("label")) for shape in shapes}), data)
    drawings: list[Drawing] = []
    for file, content in read.items():
        try:
            drawings.append(_drawing(file, content, labels, tree, problems))
        except DataError as error:
            problems.append(str(error))
    notes = [f"recognised: {len(read)} files of LabelMe"]
    if thin := sum(shape.get("shape_type") in _THIN for shape in shapes):
        notes.append(
            f"lines and points, which have no area ({thin}), are drawn {LINE_WIDTH} pixels wide, as LabelMe does"
        )
    notes += without_annotation(tree, drawings, (os.path.dirname(drawing.image) for drawing in drawings))
    return drawn_splits(tree, drawings, labels, data, problems=problems, notes=notes)


def _drawing(file: str, content: Mapping, labels: Labels, tree: Tree, problems: list[str]) -> Drawing:
    at = tree.shown(file)
    given = str(content.get("imagePath") or "").replace("\\", "/")
    image = _image_of(file, given, tree)
    if image is None:
        raise DataError(f"{at}: its image {given or stem_of(file)!r} is not there.")
    shapes = []
    for number, shape in enumerate(content["shapes"]):
        name = f"{at}: shape {number}"
        if not isinstance(shape, Mapping):
            problems.append(f"{name}: is not an object of JSON: {str(shape)[:60]}")
            continue
        label = str(shape.get("label"))
        class_id = labels.id_of(label, f"{name} ({label!r})")
        if class_id is not None:
            drawn = f"{name} ({label!r})"
            shapes += collected(problems, lambda s=shape, c=class_id, n=number, at=drawn: _shape(s, c, n, at))
    return Drawing(image, tuple(shapes), size_of(content.get("imageHeight"), content.get("imageWidth"), at))


def _image_of(file: str, given: str, tree: Tree) -> str | None:
    """The image by its path as written; else by its name, and then by the JSON file's, in folders near by."""
    folder, stem = os.path.dirname(file), stem_of(file)
    above = os.path.dirname(folder)
    candidates = [os.path.normpath(os.path.join(folder, given)), os.path.join(folder, os.path.basename(given))]
    for place in (folder, *(os.path.join(above, name) for name in ("images", "imgs", "JPEGImages", "image", "img"))):
        candidates += [os.path.join(place, os.path.basename(given))] if given else []
        candidates += [path for path in tree.pictures_in(place) if stem_of(path) == stem]
    candidates = [path.replace(os.sep, "/") for path in candidates]
    found = next((path for path in candidates if tree.has(path)), None)
    if found is None and given:
        elsewhere = tree.find_image(given, near=folder)
        found = elsewhere if isinstance(elsewhere, str) else None
    return found


def _shape(shape: Mapping, class_id: int, number: int, at: str) -> Shape:
    kind, points, name = shape.get("shape_type") or "polygon", shape.get("points"), f"shape {number}"
    if kind == "polygon":
        return Shape(class_id, (points_of(points, at),), drawn="polygon", name=name)
    if kind in ("line", "linestrip"):
        return Shape(class_id, (points_of(points, at, least=2),), drawn="line", name=name)
    if kind in ("point", "points"):
        boxes = (((x - _POINT, y - _POINT), (x + _POINT, y + _POINT)) for x, y in points_of(points, at, least=1))
        return Shape(class_id, tuple(boxes), drawn="ellipse", name=name)
    if kind in ("rectangle", "circle", "mask"):
        corners = np.asarray(points_of(points, at, least=2))
        if len(corners) != 2:
            raise DataError(f"{at}: a {kind} has two points. Received: {len(corners)}")
        if kind == "rectangle":
            low, high = corners.min(axis=0), corners.max(axis=0)
            return Shape(class_id, ((tuple(low.tolist()), tuple(high.tolist())),), drawn="rectangle", name=name)
        if kind == "circle":
            (x, y), radius = corners[0].tolist(), float(np.hypot(*(corners[1] - corners[0])))
            box = (x - radius, y - radius), (x + radius, y + radius)
            return Shape(class_id, (box,), drawn="ellipse", name=name)
        left, top = np.rint(corners[0]).astype(int).tolist()
        return Shape(class_id, bitmap=(mask_of_png(shape.get("mask") or "", at), left, top), name=name)
    raise DataError(f"{at}: its shape_type {kind!r} is none that LabelMe writes.")
