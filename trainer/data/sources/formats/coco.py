"""COCO's annotations: JSON files with images, categories and objects, as polygons or run lengths. Instances and stuff.

    path/annotations/instances_train2017.json   path/train2017/*.jpg
    path/train/_annotations.coco.json           path/train/*.jpg        (Roboflow)
    path/result.json                            images anywhere below the path, by their file_name (CVAT, Label Studio)

Class 0 is the background; the categories follow in the order of their ids. Crowds are drawn like other objects.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from configs.schema import Data
from trainer.data.errors import DataError
from trainer.data.sources.formats.descriptions import read_json
from trainer.data.sources.formats.drawn_masks import Drawing, Labels, collected, drawn_splits, size_of
from trainer.data.sources.formats.polygons import Shape, points_of
from trainer.data.sources.formats.tree import Tree, read_tree
from trainer.data.sources.names import split_of
from trainer.data.sources.splits import Splits, nothing_in

TITLE = "COCO annotations"
_KEYS = ("images", "annotations", "categories")
# Beside the annotations in COCO's own folder, but without masks.
_NO_MASKS = ("captions", "person_keypoints", "image_info")


def recognise(tree: Tree) -> str:
    """By a JSON file with images, annotations and categories."""
    return ", ".join(annotation_files(tree)[:4])


def annotation_files(tree: Tree, *, panoptic: bool = False) -> list[str]:
    """The annotation files of a folder; of instances and stuff only the former."""
    found = []
    for folder, names in tree.folders.items():
        names = [name for name in names if name.lower().endswith(".json")]
        # A folder with many of them has one for each image, of another kind.
        for name in names if len(names) <= 50 else names[:2]:
            path = f"{folder}/{name}" if folder else name
            if not name.startswith(_NO_MASKS) and _is_coco(tree.at(path), panoptic):
                found.append(path)
    return [file for file in found if "instances" in os.path.basename(file)] or found


def _is_coco(path: str, panoptic: bool) -> bool:
    """Tests the first and last bytes: an annotation file may have gigabytes."""
    try:
        with open(path, "rb") as file:
            begin = file.read(2**16)
            file.seek(max(0, os.path.getsize(path) - 2**16))
            end = file.read()
    except OSError:
        return False
    text = begin + end
    named = sum(b'"%s"' % key.encode() in text for key in _KEYS)
    starts = begin.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"{")
    return starts and named >= 2 and b'"shapes"' not in begin and (b'"segments_info"' in text) == panoptic


def open_splits(data: Data) -> Splits:
    """The splits of a folder with COCO's annotations."""
    tree = read_tree(os.path.expanduser(data.path))
    files = annotation_files(tree)
    if not files:
        return nothing_in(tree.root, "no JSON file with COCO's images and annotations")
    problems = damaged_files(tree, files, ("instances", "_annotations.coco"))
    read = read_files(tree, files)
    categories, notes = named_categories(tree, read)
    labels = Labels([categories[number] for number in sorted(categories, key=_ordered)], data, meant="category")
    drawings: list[Drawing] = []
    for file, content in read.items():
        numbers = [str(annotation.get("id")) for annotation in content.get("annotations", [])]
        if len(set(numbers)) < len(numbers):
            notes.append(f"{file}: {len(numbers) - len(set(numbers))} annotations have another's id; all are drawn")
        drawings += _drawings(file, content, categories, labels, tree, problems)
    notes.insert(0, f"recognised: {TITLE}, {', '.join(files[:4])}{', …' if files[4:] else ''}")
    return drawn_splits(tree, drawings, labels, data, problems=problems, notes=notes)


def damaged_files(tree: Tree, files: list[str], prefixes: tuple[str, ...]) -> list[str]:
    """Problems of files named like annotations that were not recognised as such."""
    found = []
    for path in tree.files(".json"):
        if path.rpartition("/")[2].startswith(prefixes) and path not in files:
            try:
                read_json(tree.at(path))
                found.append(f"{tree.shown(path)}: is not COCO's: it needs lists {', '.join(_KEYS)}.")
            except DataError as error:
                found.append(str(error))
    return found


def read_files(tree: Tree, files: list[str]) -> dict[str, Mapping]:
    """The contents of annotation files.

    Raises:
      DataError: a file is not JSON, or not COCO's.
    """
    read = {}
    for file in files:
        content = read_json(tree.at(file))
        if not isinstance(content, Mapping) or not all(isinstance(content.get(key, []), list) for key in _KEYS):
            raise DataError(f"{tree.shown(file)}: is not COCO's: it needs lists {', '.join(_KEYS)}.")
        for key in _KEYS:
            for number, item in enumerate(content.get(key, [])):
                if not isinstance(item, Mapping):
                    raise DataError(f"{tree.shown(file)}: {key}[{number}] is no object of JSON: {str(item)[:60]}")
        read[file] = content
    return read


def _ordered(number: Any):
    return (0, number, "") if isinstance(number, (int, float)) else (1, 0, str(number))


def named_categories(tree: Tree, read: Mapping[str, Mapping]) -> tuple[dict[Any, str], list[str]]:
    """Name of each category by its id, and notes.

    A category that is only the parent of the others, as Roboflow writes it, is left out.

    Raises:
      DataError: a category has two names, or there is none.
    """
    names: dict[Any, str] = {}
    heads, used = set(), set()
    for file, content in read.items():
        for category in content.get("categories", []):
            number, name = whole(category.get("id")), str(category.get("name", category.get("id")))
            if names.setdefault(number, name) != name:
                path = tree.shown(file)
                raise DataError(f"{path}: category {number} is {name!r}, and {names[number]!r} in another file.")
            heads.add(str(category.get("supercategory")))
        used |= {whole(a.get("category_id")) for a in content.get("annotations", []) if not _is_list(a)}
    if not names:
        raise DataError(f"{tree.shown('')}: the annotations name no categories.")
    idle = [n for n, name in names.items() if n not in used and name in heads and len(names) > 1]
    notes = [f"category {names[n]!r} only heads others, and no object is of it: it is no class" for n in idle]
    return {number: name for number, name in names.items() if number not in idle}, notes


def _is_list(annotation: Mapping) -> bool:
    return isinstance(annotation.get("category_id"), (list, dict))


def whole(number: Any) -> Any:
    """An id in comparable form: 3 for 3.0 and "3"."""
    if isinstance(number, float) and number.is_integer():
        return int(number)
    if isinstance(number, str) and number.isdigit():
        return int(number)
    return number if not isinstance(number, (list, dict)) else str(number)


def split_in(file: str) -> str:
    """ "train" of "annotations/instances_train2017.json"; "" where no word of it names a split."""
    words = os.path.basename(file).lower().replace("-", "_").replace(".", "_").split("_")
    return split_of(file) or next((s for word in words if (s := split_of(word.rstrip("0123456789") + "/x"))), "")


def images_by_id(file: str, content: Mapping, tree: Tree, problems: list[str]) -> dict[Any, Mapping]:
    """The list of images by their ids; ids that occur twice are problems."""
    images: dict[Any, Mapping] = {}
    for image in content.get("images", []):
        number = whole(image.get("id"))
        if number in images and images[number] != image:
            problems.append(f"{tree.shown(file)}: image id {number} occurs twice.")
        elif number in images:
            problems.append(f"{tree.shown(file)}: image id {number} occurs twice, for {image.get('file_name')!r}.")
        images[number] = image
    return images


def located(image: Mapping, file: str, tree: Tree, problems: list[str]) -> str | None:
    """The path of an image of the list; None, and a problem, if there is none or several could be meant."""
    name = str(image.get("file_name", ""))
    found = tree.find_image(name, near=os.path.dirname(file), split=split_in(file))
    if isinstance(found, str):
        return found
    many = f"is there {len(found)} times: {', '.join(found[:3])}" if found else "is not below the folder"
    problems.append(f"{tree.shown(file)}: the image {name!r} (id {image.get('id')}) {many}.")
    return None


def _drawings(
    file: str, content: Mapping, categories: Mapping[Any, str], labels: Labels, tree: Tree, problems: list[str]
) -> list[Drawing]:
    at = tree.shown(file)
    shapes: dict[Any, list[Shape]] = {}
    images = images_by_id(file, content, tree, problems)
    for annotation in content.get("annotations", []):
        name = f"{at}: annotation {annotation.get('id')}"
        of = whole(annotation.get("image_id"))
        if of not in images:
            problems.append(f"{name} is of image {annotation.get('image_id')}, which is not in the list.")
            continue
        category = whole(annotation.get("category_id"))
        if category not in categories:
            known = ", ".join(map(str, list(categories)[:8]))
            problems.append(f"{name}: its category {annotation.get('category_id')} is not one of the file's: {known}.")
            continue
        class_id = labels.id_of(categories[category], name)
        if class_id is not None:
            made = collected(problems, lambda a=annotation, c=class_id, n=name: _shape(a, c, n))
            shapes.setdefault(of, []).extend(made)
    drawings = []
    for number, image in images.items():
        path = located(image, file, tree, problems)
        try:
            size = size_of(image.get("height"), image.get("width"), f"{at}: image {number}")
        except DataError as error:
            problems.append(str(error))
            continue
        if path is not None:
            drawings.append(Drawing(path, tuple(shapes.get(number, ())), size, split_in(file)))
    return drawings


def _shape(annotation: Mapping, class_id: int, at: str) -> Shape:
    name = f"annotation {annotation.get('id')}"
    segmentation = annotation.get("segmentation")
    if isinstance(segmentation, Mapping) and "counts" in segmentation:
        return Shape(class_id, rle=segmentation, name=name)
    if isinstance(segmentation, list) and segmentation:
        parts = segmentation if isinstance(segmentation[0], (list, tuple)) else [segmentation]
        return Shape(class_id, tuple(points_of(part, at) for part in parts), name=name)
    box = "; it has a box alone, and boxes are no masks" if annotation.get("bbox") else ""
    raise DataError(f"{at}: has no segmentation{box}.")
