"""The VGG Image Annotator's JSON: regions of each image, with the class in one of their attributes.

path/via_region_data.json or a project's JSON   images anywhere below the path, by their name
"""

from __future__ import annotations

import collections
import os
from collections.abc import Iterator, Mapping

import numpy as np

from configs.schema import Data
from trainer.data.errors import DataError, shown
from trainer.data.sources.formats.coco import split_in
from trainer.data.sources.formats.descriptions import read_json
from trainer.data.sources.formats.drawn_masks import Drawing, Labels, collected, drawn_splits, without_annotation
from trainer.data.sources.formats.polygons import Shape, points_of
from trainer.data.sources.formats.tree import Tree, read_tree
from trainer.data.sources.splits import Splits, nothing_in

TITLE = "VGG Image Annotator"
_USUAL = ("label", "class", "name", "type", "category", "object")


def recognise(tree: Tree) -> str:
    """By a JSON file with shape_attributes."""
    return ", ".join(_files(tree)[:3])


def _files(tree: Tree) -> list[str]:
    found = []
    for path in tree.first_files(".json", 10):
        try:
            with open(tree.at(path), "rb") as file:
                if b'"shape_attributes"' in file.read(2**20):
                    found.append(path)
        except OSError:
            continue
    return found


def open_splits(data: Data) -> Splits:
    """The splits of a folder with VIA's JSON."""
    tree = read_tree(os.path.expanduser(data.path))
    files = _files(tree)
    if not files:
        return nothing_in(tree.root, "no JSON file with shape_attributes")
    problems: list[str] = []
    entries = [(file, key, entry) for file in files for key, entry in _entries(tree, file, problems)]
    attribute, values = _attribute([region for _, _, entry in entries for region in _regions(entry)], tree)
    labels = Labels(values, data)
    drawings = []
    for file, key, entry in entries:
        at = f"{tree.shown(file)}: {shown(str(entry.get('filename', key)))!r}"
        image = tree.find_image(str(entry.get("filename", key)), near=os.path.dirname(file), split=split_in(file))
        if isinstance(image, list):
            problems.append(f"{at}: " + (f"is there {len(image)} times." if image else "is not below the folder."))
            continue
        shapes = []
        for number, region in enumerate(_regions(entry)):
            name = f"{at}: region {number}"
            label = _label(region, attribute)
            if label is None:
                problems.append(f"{name}: has no attribute {attribute!r}, which names the others' class.")
                continue
            class_id = labels.id_of(label, name)
            if class_id is not None:
                shapes += collected(problems, lambda r=region, c=class_id, n=name, i=number: _shape(r, c, n, i))
        drawings.append(Drawing(image, tuple(shapes), None, split_in(file)))
    by = f", classes by the attribute {attribute!r}" if attribute else ""
    notes = [f"recognised: {TITLE}, {', '.join(files[:3])}{by}"]
    notes += without_annotation(tree, drawings, (os.path.dirname(drawing.image) for drawing in drawings))
    return drawn_splits(tree, drawings, labels, data, problems=problems, notes=notes)


def _entries(tree: Tree, file: str, problems: list[str]) -> Iterator[tuple[str, Mapping]]:
    content = read_json(tree.at(file))
    content = content.get("_via_img_metadata", content) if isinstance(content, Mapping) else content
    pairs = content.items() if isinstance(content, Mapping) else enumerate(content if isinstance(content, list) else [])
    for key, entry in pairs:
        if isinstance(entry, Mapping) and "regions" in entry:
            yield str(key), entry
        elif not str(key).startswith("_via"):
            problems.append(f"{tree.shown(file)}: {str(key)[:60]!r} has no regions.")


def _regions(entry: Mapping) -> list[Mapping]:
    regions = entry.get("regions") or []
    found = list(regions.values()) if isinstance(regions, Mapping) else regions
    return [region for region in found if isinstance(region, Mapping)]


def _attribute(regions: list[Mapping], tree: Tree) -> tuple[str, list[str]]:
    """The attribute that names classes, and its values; "" and "object" where no region has any."""
    counts = collections.Counter(
        key for region in regions for key, value in (region.get("region_attributes") or {}).items() if value
    )
    if not counts:
        return "", ["object"]
    usual = [key for key in counts if key.lower() in _USUAL]
    if len(counts) > 1 and len(usual) != 1:
        raise DataError(
            f"{tree.shown('')}: regions have the attributes {', '.join(map(repr, counts))}; which of them names the "
            "class cannot be known: keep one of them."
        )
    chosen = usual[0] if usual else next(iter(counts))
    return chosen, sorted({label for region in regions if (label := _label(region, chosen)) is not None})


def _label(region: Mapping, attribute: str) -> str | None:
    if not attribute:
        return "object"
    value = (region.get("region_attributes") or {}).get(attribute)
    if isinstance(value, Mapping):  # check boxes: {"cat": true}
        value = next((key for key, on in value.items() if on), None)
    return str(value).strip() if value not in (None, "") else None


def _shape(region: Mapping, class_id: int, at: str, number: int) -> Shape:
    attributes = region.get("shape_attributes")
    if not isinstance(attributes, Mapping):
        raise DataError(f"{at}: has no shape_attributes.")
    kind, name = attributes.get("name"), f"region {number}"
    if kind == "polygon":
        x, y = attributes.get("all_points_x"), attributes.get("all_points_y")
        if not isinstance(x, list) or not isinstance(y, list) or len(x) != len(y):
            raise DataError(f"{at}: all_points_x and all_points_y have to be lists of one length.")
        return Shape(class_id, (points_of(list(zip(x, y, strict=True)), at),), drawn="polygon", name=name)
    keys = {
        "rect": ("x", "y", "width", "height"),
        "circle": ("cx", "cy", "r"),
        "ellipse": ("cx", "cy", "rx", "ry"),
    }.get(kind)
    if keys is None:
        raise DataError(f"{at}: is a {kind}, which has no area; polygons, rectangles, circles and ellipses are drawn.")
    try:
        numbers = [float(attributes[key]) for key in keys]
        turn = np.deg2rad(float(attributes.get("theta") or 0))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{at}: a {kind} needs {', '.join(keys)}. Received: {str(dict(attributes))[:80]}") from error
    if kind == "rect":
        x, y, wide, high = numbers
        return Shape(class_id, (((x, y), (x + max(wide - 1, 0), y + max(high - 1, 0))),), drawn="rectangle", name=name)
    x, y, wide, high = (*numbers, numbers[-1]) if kind == "circle" else numbers
    angles = np.linspace(0, 2 * np.pi, 360, endpoint=False)
    corners = np.stack([wide * np.cos(angles), high * np.sin(angles)], axis=1)
    corners = corners @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) + (x, y)
    return Shape(class_id, (points_of(corners, at),), drawn="polygon", name=name)
