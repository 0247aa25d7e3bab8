"""LabelMe's annotations: one JSON file an image, with outlines and their labels; class names come from the labels."""

from __future__ import annotations

import os

import numpy as np

from configs.schema import Data
from trainer.data.decode import IMAGE_SUFFIXES
from trainer.data.errors import DataError, shown
from trainer.data.sources.holding_out import held_out
from trainer.data.sources.names import split_of
from trainer.data.sources.polygons import Drawing, DrawnReader, Shape, points_of, read_json
from trainer.data.sources.splits import Splits

_BACKGROUND = ("background", "_background_", "__ignore__")


def recognise(root: str) -> list[str]:
    """LabelMe's files of a folder, as paths below it; empty where the first JSON files are none."""
    found = []
    for here, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.lower().endswith(".json"):
                found.append(os.path.relpath(os.path.join(here, name), root).replace(os.sep, "/"))
    for path in found[:3]:
        try:
            with open(os.path.join(root, path), "rb") as file:
                if b'"shapes"' in file.read(2**20):
                    return found
        except OSError:
            continue
    return []


def open_splits(data: Data) -> Splits:
    """The splits of a folder with LabelMe's files."""
    root = os.path.expanduser(data.path)
    files = recognise(root)
    if not files:
        return Splits(title=shown(root), fatal=(f'{shown(root)}: has no JSON file of LabelMe, with "shapes".',))
    problems: list[str] = []
    read = {}
    for file in files:
        try:
            content = read_json(os.path.join(root, file))
            if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
                raise DataError(f'{shown(os.path.join(root, file))}: is not LabelMe\'s: it has no list "shapes".')
            read[file] = content
        except DataError as error:
            problems.append(str(error))
    labels = {str(shape.get("label")) for content in read.values() for shape in content["shapes"]}
    names = data.classes or ("background", *sorted(label for label in labels if label.lower() not in _BACKGROUND))
    drawings: list[Drawing] = []
    for file, content in read.items():
        try:
            drawings.append(_drawing(file, content, names, root, problems))
        except DataError as error:
            problems.append(str(error))
    by_split = {
        split: [d for d in drawings if split_of(d.image) == split] for split in ("train", "validation", "test", "")
    }
    train, validation = by_split["train"], by_split["validation"]
    fatal: tuple[str, ...] = ()
    if not train or not validation:
        pool = train or by_split[""] or (drawings if data.split == "auto" else [])
        if len(pool) < 2:
            fatal, train, validation = (f"{shown(root)}: {len(pool)} images can be used; two are needed.",), pool, []
        else:
            out = held_out([drawing.image for drawing in pool], data)
            train = [drawing for index, drawing in enumerate(pool) if index not in out]
            validation = [pool[index] for index in sorted(out)]
    return Splits(
        DrawnReader(root, train, data),
        DrawnReader(root, validation, data),
        test=DrawnReader(root, by_split["test"], data) if by_split["test"] else None,
        named=tuple(split for split in ("train", "validation", "test") if by_split[split]),
        classes=names,
        title=shown(data.path),
        problems=tuple(problems),
        fatal=fatal,
        notes=(f"recognised: {len(files)} files of LabelMe",),
        fields={"classes": names, "mask_encoding": "ids"},
        advice="--config.data.bad_files=skip leaves such objects and images out.",
    )


def _drawing(file: str, content: dict, names: tuple[str, ...], root: str, problems: list[str]) -> Drawing:
    at = shown(os.path.join(root, file))
    given = str(content.get("imagePath") or "").replace("\\", "/")
    folder, stem = os.path.dirname(file), os.path.splitext(os.path.basename(file))[0]
    candidates = [os.path.normpath(os.path.join(folder, given)).replace(os.sep, "/")] if given else []
    candidates += [os.path.join(folder, os.path.basename(given)).replace(os.sep, "/")] if given else []
    for place in (folder, *(os.path.join(os.path.dirname(folder), name) for name in ("images", "imgs", "JPEGImages"))):
        candidates += [os.path.join(place, stem + suffix).replace(os.sep, "/") for suffix in IMAGE_SUFFIXES]
    image = next((path for path in candidates if os.path.isfile(os.path.join(root, path))), None)
    if image is None:
        raise DataError(f"{at}: its image {given or stem!r} is not there.")
    shapes = []
    for number, shape in enumerate(content["shapes"]):
        name, label = f"{at}: shape {number} ({shape.get('label')!r})", str(shape.get("label"))
        try:
            if label.lower() in _BACKGROUND and label not in names:
                class_id = 0
            elif label in names:
                class_id = names.index(label)
            else:
                raise DataError(f"{name}: its label is none of data.classes: {', '.join(names)}.")
            shapes.append(Shape(class_id, (_outline(shape, name),), name=f"shape {number}", outlined=True))
        except DataError as error:
            problems.append(str(error))
    size = (content.get("imageHeight"), content.get("imageWidth"))
    return Drawing(image, tuple(shapes), size if all(size) else None)


def _outline(shape: dict, name: str) -> tuple[tuple[float, float], ...]:
    kind, points = shape.get("shape_type") or "polygon", shape.get("points")
    if kind == "polygon":
        return points_of(points, name)
    corners = np.asarray(points, np.float64) if isinstance(points, list) else np.empty((0, 2))
    if kind == "rectangle" and corners.shape == (2, 2):
        (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
        return ((left, top), (right, top), (right, bottom), (left, bottom))
    if kind == "circle" and corners.shape == (2, 2):
        radius = float(np.hypot(*(corners[1] - corners[0])))
        angles = np.linspace(0, 2 * np.pi, 128, endpoint=False)
        return tuple(
            zip(
                (corners[0][0] + radius * np.cos(angles)).tolist(),
                (corners[0][1] + radius * np.sin(angles)).tolist(),
                strict=True,
            )
        )
    raise DataError(f"{name}: is a {kind}, which has no area; polygons, rectangles and circles are drawn.")
