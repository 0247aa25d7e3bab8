"""Supervisely's projects: a JSON file for each image, with polygons, bitmaps and rectangles.

    path/meta.json   path/dataset/img/a.jpg   path/dataset/ann/a.jpg.json

Class names are those of meta.json, in its order, after the background. Polygons are filled as OpenCV fills them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from configs.schema import Data
from trainer.data.errors import DataError, shown
from trainer.data.sources.formats.descriptions import read_json
from trainer.data.sources.formats.drawn_masks import (
    Drawing,
    Labels,
    collected,
    drawn_splits,
    size_of,
    without_annotation,
)
from trainer.data.sources.formats.polygons import Shape, mask_of_png, points_of
from trainer.data.sources.formats.tree import Tree, read_tree
from trainer.data.sources.splits import Splits, nothing_in

TITLE = "Supervisely"


def recognise(tree: Tree) -> str:
    """By folders ann/ and img/ side by side, with JSON files in the former."""
    folders = _folders(tree)
    return f"{shown(folders[0])}/" if folders else ""


def _folders(tree: Tree) -> list[str]:
    """The folders ann/ beside img/."""
    beside = {os.path.dirname(folder) for folder in tree.called("img")}
    found = [f for f in tree.called("ann") if os.path.dirname(f) in beside]
    return [f for f in found if any(name.endswith(".json") for name in tree.folders[f])]


def open_splits(data: Data) -> Splits:
    """The splits of a folder with Supervisely's projects."""
    tree = read_tree(os.path.expanduser(data.path))
    files = [f"{folder}/{n}" for folder in _folders(tree) for n in tree.folders[folder] if n.lower().endswith(".json")]
    if not files:
        return nothing_in(tree.root, "no ann/ with JSON files beside img/")
    problems: list[str] = []
    read = {}
    for file in files:
        try:
            content = read_json(tree.at(file))
            if not isinstance(content, Mapping) or not isinstance(content.get("objects"), list):
                raise DataError(f'{tree.shown(file)}: is not Supervisely\'s: it has no list "objects".')
            read[file] = content
        except DataError as error:
            problems.append(str(error))
    meta = next((path for path in tree.files(".json") if path.rsplit("/", 1)[-1] == "meta.json"), None)
    names = [str(c.get("title")) for c in read_json(tree.at(meta)).get("classes", [])] if meta else []
    used = {str(o.get("classTitle")) for c in read.values() for o in c["objects"] if isinstance(o, Mapping)}
    labels = Labels(names or sorted(used), data)
    drawings = []
    for file, content in read.items():
        try:
            drawings.append(_drawing(file, content, labels, set(names) or used, tree, problems))
        except DataError as error:
            problems.append(str(error))
    notes = [f"recognised: a project of {TITLE}, {len(read)} files"]
    notes += without_annotation(tree, drawings, (os.path.dirname(drawing.image) for drawing in drawings))
    return drawn_splits(tree, drawings, labels, data, problems=problems, notes=notes)


def _drawing(file: str, content: Mapping, labels: Labels, known: set[str], tree: Tree, problems: list[str]) -> Drawing:
    at = tree.shown(file)
    folder, name = os.path.split(file)
    image = f"{os.path.dirname(folder)}/img/{name[:-5]}".lstrip("/")
    if not tree.has(image):
        same = [path for path in tree.images(os.path.dirname(image)) if os.path.splitext(path)[0] == image]
        if len(same) != 1:
            raise DataError(f"{at}: its image {shown(image)} is not there.")
        image = same[0]
    size = content.get("size") if isinstance(content.get("size"), Mapping) else {}
    shapes = []
    for number, thing in enumerate(content["objects"]):
        title = str(thing.get("classTitle")) if isinstance(thing, Mapping) else str(thing)[:40]
        place = f"{at}: object {number} ({title!r})"
        if title not in known:
            problems.append(f"{place}: its class is not in meta.json: {', '.join(sorted(known)[:8])}.")
            continue
        class_id = labels.id_of(title, place)
        if class_id is not None:
            shapes += collected(problems, lambda t=thing, c=class_id, p=place, n=number: _shape(t, c, p, n))
    return Drawing(image, tuple(shapes), size_of(size.get("height"), size.get("width"), at))


def _shape(thing: Mapping, class_id: int, at: str, number: int) -> Shape:
    kind, name = thing.get("geometryType"), f"object {number}"
    points = thing.get("points") if isinstance(thing.get("points"), Mapping) else {}
    if kind == "polygon":
        holes = tuple(points_of(hole, at) for hole in points.get("interior") or [])
        return Shape(class_id, (points_of(points.get("exterior"), at),), holes=holes, drawn="cv2", name=name)
    if kind == "rectangle":
        corners = points_of(points.get("exterior"), at, least=2)
        (left, right), (top, bottom) = (sorted((corners[0][axis], corners[1][axis])) for axis in (0, 1))
        return Shape(class_id, (((left, top), (right, bottom)),), drawn="rectangle", name=name)
    if kind == "bitmap":
        bitmap = thing.get("bitmap")
        try:
            left, top = map(int, bitmap["origin"])
            text = bitmap["data"]
        except (TypeError, KeyError, ValueError) as error:
            raise DataError(f"{at}: its bitmap needs data and origin. Received: {str(bitmap)[:60]}") from error
        return Shape(class_id, bitmap=(mask_of_png(text, at), left, top), name=name)
    raise DataError(f"{at}: is a {kind}, which has no area; polygons, bitmaps and rectangles are drawn.")
