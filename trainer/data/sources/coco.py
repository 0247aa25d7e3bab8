"""COCO's annotations: JSON files with images, categories and objects, as polygons or run lengths.

    path/annotations/instances_train2017.json   path/train2017/*.jpg
    path/train/_annotations.coco.json           path/train/*.jpg
    path/result.json                            images anywhere below the path, by their file_name

Class 0 is the background; the categories follow in the order of their ids. Crowds are drawn like other objects.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping, Sequence
from typing import Any

from configs.schema import Data
from trainer.data.errors import DataError, shown
from trainer.data.sources.holding_out import held_out
from trainer.data.sources.names import split_of
from trainer.data.sources.polygons import Drawing, DrawnReader, Shape, points_of, read_json
from trainer.data.sources.splits import Splits

_KEYS = ("images", "annotations", "categories")


def recognise(root: str) -> list[str]:
    """The annotation files of a folder, as paths below it; empty where it has none."""
    found = []
    for here, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if os.path.relpath(here, root).count(os.sep) > 2:
            folders[:] = []
        for name in sorted(files):
            path = os.path.join(here, name)
            if name.lower().endswith(".json") and _is_coco(path):
                found.append(os.path.relpath(path, root).replace(os.sep, "/"))
    return found


def _is_coco(path: str) -> bool:
    """By the first bytes: an annotation file may be of gigabytes."""
    try:
        with open(path, "rb") as file:
            begin = file.read(4096)
            file.seek(max(0, os.path.getsize(path) - 65536))
            end = file.read()
    except OSError:
        return False
    text = begin + end
    named = sum(b'"%s"' % key.encode() in text for key in _KEYS)
    return begin.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"{") and named >= 2


def open_splits(data: Data) -> Splits:
    """The splits of a folder with COCO's annotations."""
    root = os.path.expanduser(data.path)
    files = recognise(root)
    if not files:
        missing = f"{shown(root)}: has no JSON file with COCO's images and annotations."
        return Splits(title=shown(root), fatal=(missing,))
    chosen = [file for file in files if "instances" in os.path.basename(file)] or files
    read = {file: read_json(os.path.join(root, file)) for file in chosen}
    names, ids = _categories(read, root)
    problems: list[str] = []
    found = _found_images(root)
    by_split: dict[str, list[Drawing]] = {}
    for file, content in read.items():
        split = split_of(file + "/x") or split_of(f"{_split_in(file)}/x")
        by_split.setdefault(split, []).extend(_drawings(file, content, ids, root, found, problems))
    train, validation = by_split.get("train", []), by_split.get("validation", [])
    notes = [f"recognised: COCO annotations, {', '.join(chosen[:4])}{', …' if chosen[4:] else ''}"]
    test = by_split.get("test", [])
    if test and data.split == "auto":
        notes.append(f"{len(test)} images of a test split are neither trained on nor evaluated")
    fatal: tuple[str, ...] = ()
    if not validation:
        pool = train or by_split.get("", [])
        if len(pool) < 2:
            fatal = (f"{shown(root)}: {len(pool)} images can be used; two are needed at least.",)
            train = pool
        else:
            out = held_out([drawing.image for drawing in pool], data)
            train = [drawing for index, drawing in enumerate(pool) if index not in out]
            validation = [pool[index] for index in sorted(out)]
    elif not train:
        fatal = (f"{shown(root)}: no image of the training split can be used.",)
    if not _has_pycocotools():
        notes.append("polygons are drawn by Pillow; COCO's own pixels along edges come with: pip install pycocotools")
    return Splits(
        DrawnReader(root, train, data),
        DrawnReader(root, validation, data),
        test=DrawnReader(root, test, data) if test else None,
        named=tuple(split for split in ("train", "validation", "test") if by_split.get(split)),
        classes=names,
        title=shown(data.path),
        problems=tuple(problems),
        notes=tuple(notes),
        fields={"classes": names, "mask_encoding": "ids"},
        fatal=fatal,
        advice="--config.data.bad_files=skip leaves such objects and images out.",
    )


def _has_pycocotools() -> bool:
    return importlib.util.find_spec("pycocotools") is not None


def _split_in(file: str) -> str:
    """ "train" of "instances_train2017.json"."""
    words = os.path.basename(file).lower().replace("-", "_").replace(".", "_").split("_")
    return next((word.rstrip("0123456789") for word in words if split_of(word.rstrip("0123456789") + "/x")), "")


def _categories(read: Mapping[str, Any], root: str) -> tuple[tuple[str, ...], dict[Any, int]]:
    """Class names, the background first, and the class id of each category."""
    names: dict[Any, str] = {}
    for file, content in read.items():
        path = shown(os.path.join(root, file))
        if not isinstance(content, Mapping) or not all(isinstance(content.get(key, []), list) for key in _KEYS):
            raise DataError(f"{path}: is not COCO's: it needs lists {', '.join(_KEYS)}.")
        for category in content.get("categories", []):
            number, name = category.get("id"), str(category.get("name", category.get("id")))
            if names.setdefault(number, name) != name:
                raise DataError(f"{path}: category {number} is {name!r}, and {names[number]!r} in another file.")
    ordered = sorted(names, key=lambda number: (str(type(number)), number))
    ordered = [number for number in ordered if names[number].lower() not in ("background", "_background_")]
    if not ordered:
        raise DataError(f"{shown(root)}: the annotations name no categories.")
    return ("background", *(names[number] for number in ordered)), {
        **{number: 0 for number in names},
        **{number: position for position, number in enumerate(ordered, start=1)},
    }


def _found_images(root: str) -> dict[str, list[str]]:
    """Name of a file -> its paths below the folder."""
    found: dict[str, list[str]] = {}
    for here, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in files:
            found.setdefault(name, []).append(os.path.relpath(os.path.join(here, name), root).replace(os.sep, "/"))
    return found


def _drawings(
    file: str, content: Mapping, ids: Mapping[Any, int], root: str, found: Mapping, problems: list[str]
) -> list[Drawing]:
    at = shown(os.path.join(root, file))
    shapes: dict[Any, list[Shape]] = {}
    images: dict[Any, Mapping] = {}
    for image in content.get("images", []):
        if image.get("id") in images:
            problems.append(f"{at}: image id {image.get('id')} occurs twice.")
        images[image.get("id")] = image
    for annotation in content.get("annotations", []):
        name = f"annotation {annotation.get('id')}"
        try:
            if annotation.get("image_id") not in images:
                raise DataError(f"{at}: {name} is of image {annotation.get('image_id')}, which is not in the list.")
            shape = _shape(annotation, ids, f"{at}: {name}")
        except DataError as error:
            problems.append(str(error))
            continue
        shapes.setdefault(annotation["image_id"], []).append(shape)
    drawings = []
    for number, image in images.items():
        path = _image_path(str(image.get("file_name", "")), file, found)
        if isinstance(path, str):
            size = (image["height"], image["width"]) if image.get("height") and image.get("width") else None
            drawings.append(Drawing(path, tuple(shapes.get(number, ())), size))
        else:
            many = f"is there {len(path)} times: {', '.join(path[:3])}" if path else "is not below the folder"
            problems.append(f"{at}: the image {str(image.get('file_name'))!r} (id {number}) {many}.")
    return sorted(drawings, key=lambda drawing: drawing.image)


def _image_path(name: str, file: str, found: Mapping[str, Sequence[str]]) -> str | list[str]:
    """Where an image lies: by its path, else by its name; beside the annotation file where several are called so."""
    name = name.replace("\\", "/")
    paths = list(found.get(name.rsplit("/", 1)[-1], []))
    exact = [path for path in paths if path == name or path.endswith("/" + name)] or paths
    beside = [path for path in exact if os.path.dirname(path) == os.path.dirname(file)]
    in_split = [path for path in exact if _split_in(file) and split_of(path) == split_of(_split_in(file) + "/x")]
    for candidates in (beside, in_split, exact):
        if len(candidates) == 1:
            return candidates[0]
    return exact


def _shape(annotation: Mapping, ids: Mapping[Any, int], at: str) -> Shape:
    if annotation.get("category_id") not in ids:
        known = ", ".join(map(str, list(ids)[:8]))
        raise DataError(f"{at}: its category {annotation.get('category_id')} is none of the file's: {known}.")
    name = f"annotation {annotation.get('id')}"
    class_id, segmentation = ids[annotation["category_id"]], annotation.get("segmentation")
    if isinstance(segmentation, Mapping) and "counts" in segmentation:
        return Shape(class_id, rle=segmentation, name=name)
    if isinstance(segmentation, list) and segmentation:
        parts = segmentation if isinstance(segmentation[0], list) else [segmentation]
        return Shape(class_id, tuple(points_of(part, at) for part in parts), name=name)
    box = "; it has a box alone, and boxes are no masks" if annotation.get("bbox") else ""
    raise DataError(f"{at}: has no segmentation{box}.")
