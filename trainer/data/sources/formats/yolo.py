"""YOLO's polygons: a text file for each image, a line "class x1 y1 x2 y2 …" for each object, as shares of its size.

    path/data.yaml   path/images/train/*.jpg   path/labels/train/*.txt       (Ultralytics; CVAT)
    path/data.yaml   path/train/images/*.jpg   path/train/labels/*.txt       (Roboflow)
    path/classes.txt path/images/*.jpg         path/labels/*.txt             (Label Studio)

Class 0 is the background, the names of data.yaml follow. Drawn like OpenCV's fillPoly, with corners truncated to whole
pixels.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Mapping

import numpy as np

from configs.schema import Data
from trainer.data.errors import DataError, shown
from trainer.data.sources.formats.class_tables import find_table
from trainer.data.sources.formats.descriptions import read_text, read_yaml
from trainer.data.sources.formats.drawn_masks import Drawing, Labels, drawn_splits
from trainer.data.sources.formats.mask_files import most
from trainer.data.sources.formats.polygons import Shape
from trainer.data.sources.formats.tree import Tree, read_tree
from trainer.data.sources.headers import MOST_PAIRS
from trainer.data.sources.splits import Splits

TITLE = "YOLO"
_LINE = re.compile(rb"^\s*\d+(\.0*)?(\s+-?[0-9.][0-9.eE+-]*){4,}\s*$")
# Text files beside labels that are not labels.
_NO_LABELS = ("classes.txt", "labels.txt", "obj.names", "train.txt", "val.txt", "test.txt", "readme.txt")
_SPLITS = {"train": "train", "val": "validation", "valid": "validation", "test": "test"}


def recognise(tree: Tree) -> str:
    """By data.yaml with names, or text files of numbers in a folder labels/."""
    labels = next((f for f in tree.called("labels") if _has_lines(tree, f)), None)
    nested = labels or next((f for f in tree.folders if "labels" in f.split("/") and _has_lines(tree, f)), None)
    if nested is not None:
        described = _yaml(tree)
        return f"{shown(nested)}/*.txt" + (f" with {described}" if described else "")
    described = _yaml(tree)
    bare = next((f for f in tree.folders if "labels" in f.split("/") and any(map(_is_text, tree.folders[f]))), None)
    if described and bare is not None:
        return f"{described} with {shown(bare)}/*.txt"
    beside = next((f for f in tree.folders if described and _has_lines(tree, f) and tree.images(f)), None)
    return described if beside is not None else ""


def _is_text(name: str) -> bool:
    return name.lower().endswith(".txt")


def _has_lines(tree: Tree, folder: str) -> bool:
    """Whether one of the first text files in or below a folder has a line with a class and points."""
    inside = [f for f in tree.folders if f == folder or f.startswith(f"{folder}/")]
    texts = [tree.at(f"{f}/{name}" if f else name) for f in inside for name in tree.folders[f] if name.endswith(".txt")]
    for path in texts[:20]:
        try:
            with open(path, "rb") as file:
                line = file.readline(2**20).removeprefix(b"\xef\xbb\xbf")
        except OSError:
            continue
        if _LINE.match(line):
            return True
    return False


def _yaml(tree: Tree) -> str:
    """The file with the names of the classes: data.yaml, dataset.yaml or another with names; "" if there is none."""
    files = [path for path in (*tree.files(".yaml"), *tree.files(".yml")) if path.count("/") <= 5]
    for path in sorted(files, key=lambda path: (path.rsplit("/", 1)[-1].lower() != "data.yaml", path.count("/"), path)):
        try:
            if re.search(r"(?m)^\s*names\s*:", read_text(tree.at(path))):
                return path
        except DataError:
            continue
    return ""


def open_splits(data: Data) -> Splits:
    """The splits of a folder with YOLO's labels."""
    tree = read_tree(os.path.expanduser(data.path))
    described = _yaml(tree)
    content = read_yaml(tree.at(described)) if described else {}
    names = _names(tree, described, content)
    labels = Labels(names, data)
    ids = [labels.id_of(name, tree.shown(described or "classes.txt")) for name in names]
    stated = _stated(tree, described, content) if isinstance(content, Mapping) else {}
    drawings, bare, used = [], [], set()
    for image in tree.images(""):
        label = _label_of(tree, image)
        split = stated.get(image) or next((s for f, s in stated.items() if f.endswith("/") and image.startswith(f)), "")
        if label is None:
            bare.append(image)
            label = ""
        used.add(label)
        drawings.append(
            Drawing(image, functools.partial(_shapes, tree.at(label) if label else "", names, ids), None, split)
        )
    if not used - {""}:
        missing = f"{shown(tree.root)}: no image has a text file of labels: images/a.jpg has labels/a.txt."
        return Splits(title=shown(tree.root), fatal=(missing,))
    if not any(os.path.getsize(tree.at(label)) for label in used - {""}):
        first = tree.shown(sorted(used - {""})[0])
        fatal = f"{first}: is empty, and so are all {len(used - {''})} files of labels: there is no object in the data."
        return Splits(title=shown(tree.root), fatal=(fatal,))
    notes = [f"recognised: labels of {TITLE}" + (f", classes of {described}" if described else "")]
    if bare:
        notes.append(f"{len(bare)} images without a file of labels are background throughout: {most(bare)}")
    problems = [text for label in sorted(used - {""})[:MOST_PAIRS] if (text := _fault(tree.at(label), names, ids))]
    files = [p for f in tree.folders if "labels" in f.split("/") for p in tree.under(f) if p.endswith(".txt")]
    alone = [p for p in dict.fromkeys(files) if p not in used and p.rpartition("/")[2].lower() not in _NO_LABELS]
    if alone:
        problems.append(f"{len(alone)} files of labels without an image: {', '.join(map(tree.shown, alone[:3]))}")
    return drawn_splits(tree, drawings, labels, data, problems=problems, notes=notes)


def _names(tree: Tree, described: str, content) -> list[str]:
    """Class names by YOLO's number."""
    if described:
        names = content.get("names") if isinstance(content, Mapping) else None
        if isinstance(names, Mapping) and names and all(str(key).isdigit() for key in names):
            by_id = {int(key): str(name) for key, name in names.items()}
            return [by_id.get(number, f"class_{number}") for number in range(max(by_id) + 1)]
        if not isinstance(names, list) or not names:
            raise DataError(f"{tree.shown(described)}: names has to be a list of names, or {{0: name, …}}.")
        return list(map(str, names))
    table = find_table(tree) or find_table(tree, ("labels", "data"))
    listed = next((path for path in tree.files(".names")), None)
    if table is not None:
        return table.names
    if listed is not None:
        return [line.strip() for line in read_text(tree.at(listed)).split("\n") if line.strip()]
    raise DataError(
        f"{tree.shown('')}: has labels of YOLO, and no data.yaml or classes.txt that names the classes: write "
        "data.yaml with a line, as\n    names: [cat, dog]"
    )


def _stated(tree: Tree, described: str, content: Mapping) -> dict[str, str]:
    """Image, or folder with "/" at its end, -> split, by data.yaml."""
    home = os.path.dirname(described)
    found: dict[str, str] = {}
    for key, split in _SPLITS.items():
        values = content.get(key)
        for value in values if isinstance(values, list) else [values]:
            if not isinstance(value, str):
                continue
            parts = [part for part in value.replace("\\", "/").split("/") if part not in ("", ".", "..")]
            # Written on another machine, or relative to another folder: the longest ending that exists here counts.
            for start in range(len(parts)):
                path = "/".join(parts[start:])
                for place in dict.fromkeys((f"{home}/{path}" if home else path, path)):
                    if place in tree.folders or any(f.startswith(place + "/") for f in tree.folders):
                        found.setdefault(place + "/", split)
                        break
                    if place.endswith(".txt") and tree.has(place):
                        for line in read_text(tree.at(place)).split("\n"):
                            image = tree.find_image(line.strip()) if line.strip() else []
                            if isinstance(image, str):
                                found.setdefault(image, split)
                        break
                else:
                    continue
                break
    return found


def _label_of(tree: Tree, image: str) -> str | None:
    """images/train/a.jpg -> labels/train/a.txt, or a.txt beside it."""
    stem = os.path.splitext(image)[0]
    parts = stem.split("/")
    for place in range(len(parts) - 2, -1, -1):
        if parts[place].lower() in ("images", "image", "imgs"):
            path = "/".join([*parts[:place], "labels", *parts[place + 1 :]]) + ".txt"
            if tree.has(path):
                return path
    return f"{stem}.txt" if tree.has(f"{stem}.txt") else None


def _fault(path: str, names: list[str], ids: list[int | None]) -> str:
    try:
        _read(path, names, ids)
    except DataError as error:
        return str(error)
    return ""


def _shapes(path: str, names: list[str], ids: list[int | None], height: int, width: int) -> tuple[Shape, ...]:
    if not path:
        return ()
    scale = np.array([width, height], np.float32)
    return tuple(
        Shape(class_id, (tuple(map(tuple, (points * scale).tolist())),), drawn="cv2", name=f"line {number}")
        for number, class_id, points in _read(path, names, ids)
    )


def _read(path: str, names: list[str], ids: list[int | None]) -> list[tuple[int, int, np.ndarray]]:
    """(line, class id, points float32 `[n, 2]` from 0 to 1)."""
    try:
        with open(path, "rb") as file:
            text = file.read().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{shown(path)}: cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{shown(path)}: is not text in UTF-8 (byte {error.start}).") from error
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words:
            continue
        at = f"{shown(path)}:{number}"
        try:
            values = np.array(words, np.float64)
        except ValueError as error:
            raise DataError(
                f"{at}: a line is a class and points, of numbers. Received: {line.strip()[:60]!r}"
            ) from error
        if len(words) == 5:
            raise DataError(f"{at}: is a box (a class and four numbers), and boxes are no masks.")
        if len(words) < 7 or len(words) % 2 == 0:
            raise DataError(f"{at}: a line is a class and three points (x, y) or more. Received: {len(words)} numbers")
        number_of_class = int(values[0]) if np.isfinite(values[0]) else -1
        if number_of_class != values[0] or not 0 <= number_of_class < len(names):
            raise DataError(f"{at}: its class {words[0]} is not one of 0 … {len(names) - 1} ({', '.join(names[:8])}).")
        points = values[1:]
        if not ((points >= 0) & (points <= 1)).all():
            wrong = next(word for word, point in zip(words[1:], points, strict=True) if not 0 <= point <= 1)
            raise DataError(f"{at}: points are shares of width and height, from 0 to 1. Received: {wrong}")
        class_id = ids[number_of_class]
        if class_id is not None:
            found.append((number, class_id, points.astype(np.float32).reshape(-1, 2)))
    return found
