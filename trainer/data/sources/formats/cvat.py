"""CVAT's own XML, "CVAT for images 1.1": polygons, masks as runs along rows, boxes and ellipses.

    path/annotations.xml   path/images/…   or images anywhere below the path, by their name

Class names are those of the task, in its order, after the background. Shapes are stacked by their z_order. As in CVAT's
exports of masks, boxes are filled. Its other exports are read as VOC, COCO, YOLO, CamVid, …
"""

from __future__ import annotations

import os
from xml.etree.ElementTree import Element

import numpy as np

from configs.schema import Data
from trainer.data.errors import DataError, shown
from trainer.data.sources.formats.coco import split_in
from trainer.data.sources.formats.descriptions import read_xml
from trainer.data.sources.formats.drawn_masks import Drawing, Labels, collected, drawn_splits, size_of
from trainer.data.sources.formats.polygons import Shape, points_of, runs_of_rows
from trainer.data.sources.formats.tree import Tree, read_tree
from trainer.data.sources.names import split_of
from trainer.data.sources.splits import Splits, nothing_in

TITLE = "CVAT for images"
_SHAPES = ("polygon", "mask", "box", "ellipse", "polyline", "points", "cuboid", "skeleton")


def recognise(tree: Tree) -> str:
    """By an XML file of <annotations>."""
    return ", ".join(_files(tree)[:3])


def _files(tree: Tree) -> list[str]:
    found = []
    for folder, names in tree.folders.items():
        for name in [name for name in names if name.lower().endswith(".xml")][:5]:
            path = f"{folder}/{name}" if folder else name
            if _is_cvat(tree.at(path)):
                found.append(path)
    return found


def _is_cvat(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            begin = file.read(2**14).replace(b"\0", b"")
    except OSError:
        return False
    return b"<annotations" in begin and (b"<meta" in begin or b"<image " in begin or b"<version" in begin)


def open_splits(data: Data) -> Splits:
    """The splits of a folder with CVAT's XML."""
    tree = read_tree(os.path.expanduser(data.path))
    files = _files(tree)
    if not files:
        return nothing_in(tree.root, "no XML file of CVAT, <annotations>")
    roots = {file: read_xml(tree.at(file)) for file in files}
    for file, root in roots.items():
        if root.find("track") is not None:
            raise DataError(f"{tree.shown(file)}: is of CVAT for video (<track>); export it as CVAT for images 1.1.")
    names = [label.findtext("name", "").strip() for root in roots.values() for label in root.iter("label")]
    if not any(names):
        shapes = [shape for root in roots.values() for kind in _SHAPES for shape in root.iter(kind)]
        names = sorted({shape.get("label", "") for shape in shapes})
    labels = Labels(names, data)
    problems: list[str] = []
    drawings: list[Drawing] = []
    boxes = 0
    for file, root in roots.items():
        seen: set[str] = set()
        for image in root.iter("image"):
            at = f"{tree.shown(file)}: image {image.get('id')} ({shown(image.get('name', ''))!r})"
            if image.get("id") in seen:
                problems.append(f"{at}: its id occurs twice.")
                continue
            seen.add(image.get("id"))
            boxes += len(image.findall("box"))
            try:
                drawings.append(_drawing(at, file, image, labels, set(names), tree, problems))
            except DataError as error:
                problems.append(str(error))
    notes = [f"recognised: {TITLE}, {', '.join(files[:3])}"]
    if boxes:
        notes.append(f"{boxes} boxes are filled, as in CVAT's exports of masks")
    return drawn_splits(tree, drawings, labels, data, problems=problems, notes=notes)


def _drawing(
    at: str, file: str, image: Element, labels: Labels, known: set[str], tree: Tree, problems: list[str]
) -> Drawing:
    size = size_of(image.get("height"), image.get("width"), at)
    if size is None:
        raise DataError(f"{at}: has no width and height.")
    subset = image.get("subset") or ""
    split = split_of(f"{subset}/x") if subset else split_in(file)
    found = tree.find_image(image.get("name", ""), near=os.path.dirname(file), split=split)
    if isinstance(found, list):
        many = f"is there {len(found)} times: {', '.join(found[:3])}" if found else "is not below the folder"
        raise DataError(f"{at}: {many}.")
    ordered = []
    for number, element in enumerate(child for child in image if child.tag in _SHAPES):
        label, name = element.get("label", ""), f"{at}: {element.tag} {number}"
        if label not in known:
            listed = ", ".join(sorted(known)[:8])
            problems.append(f"{name}: its label {label!r} is not one of the task's: {listed}.")
            continue
        class_id = labels.id_of(label, name)
        if class_id is not None:
            order = element.get("z_order", "0")
            made = collected(problems, lambda e=element, s=size, c=class_id, n=name, i=number: _shape(e, s, c, n, i))
            ordered += [(int(order) if order.lstrip("-").isdigit() else 0, shape) for shape in made]
    shapes = tuple(shape for _, shape in sorted(ordered, key=lambda pair: pair[0]))
    return Drawing(found, shapes, size, split)


def _numbers(element: Element, keys: tuple[str, ...], at: str) -> list[float]:
    try:
        values = [float(element.get(key, "")) for key in keys]
        if not np.isfinite(values).all():
            raise ValueError
    except ValueError as error:
        given = ", ".join(f"{key}={element.get(key)!r}" for key in keys)
        raise DataError(f"{at}: needs numbers: {given}") from error
    return values


def _shape(element: Element, size: tuple[int, int], class_id: int, at: str, number: int) -> Shape:
    name = f"{element.tag} {number}"
    if element.tag == "polygon":
        pairs = [pair.split(",") for pair in element.get("points", "").split(";") if pair.strip()]
        return Shape(class_id, (points_of(pairs, at),), name=name)
    if element.tag == "mask":
        left, top, wide, high = map(int, _numbers(element, ("left", "top", "width", "height"), at))
        if left < 0 or top < 0 or wide < 1 or high < 1 or left + wide > size[1] or top + high > size[0]:
            raise DataError(
                f"{at}: its box of {wide} x {high} pixels at ({left}, {top}) is not inside the image of {size[1]} x "
                f"{size[0]}."
            )
        runs = [run for run in element.get("rle", "").split(",") if run.strip()]
        return Shape(class_id, bitmap=(runs_of_rows(runs, (high, wide), at), left, top), name=name)
    if element.tag in ("box", "ellipse"):
        turn = np.deg2rad(float(element.get("rotation") or 0))
        if element.tag == "box":
            left, top, right, bottom = _numbers(element, ("xtl", "ytl", "xbr", "ybr"), at)
            middle = np.array([(left + right) / 2, (top + bottom) / 2])
            corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)]) - middle
        else:
            x, y, wide, high = _numbers(element, ("cx", "cy", "rx", "ry"), at)
            middle, angles = np.array([x, y]), np.linspace(0, 2 * np.pi, 360, endpoint=False)
            corners = np.stack([wide * np.cos(angles), high * np.sin(angles)], axis=1)
        if turn:
            corners = corners @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        return Shape(class_id, (points_of(corners + middle, at),), name=name)
    raise DataError(f"{at}: has no area; polygons, masks, boxes and ellipses are drawn.")
