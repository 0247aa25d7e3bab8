"""Label Studio's JSON exports ("JSON" and "JSON-MIN"): polygons, rectangles and ellipses in percent, and brush masks.

    path/project-1-at-2026-01-01.json   images anywhere below the path, with or without the prefix of an upload

Class names are those of the labels, in alphabetical order, after the background.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from configs.schema import Data
from trainer.data.errors import DataError, shown
from trainer.data.sources.formats.descriptions import read_json
from trainer.data.sources.formats.drawn_masks import Drawing, Labels, collected, drawn_splits, size_of
from trainer.data.sources.formats.polygons import Shape, points_of
from trainer.data.sources.formats.tree import Tree, read_tree
from trainer.data.sources.splits import Splits, nothing_in

TITLE = "Label Studio"
_WORDS = (b'"polygonlabels"', b'"brushlabels"', b'"original_width"', b'"rectanglelabels"', b'"ellipselabels"')
_KINDS = ("polygon", "brush", "rectangle", "ellipse")
_UPLOAD = re.compile(r"^[0-9a-f]{8}-(.+)$")


def recognise(tree: Tree) -> str:
    """By a JSON file that is a list with polygonlabels or brushlabels."""
    return ", ".join(_files(tree)[:3])


def _files(tree: Tree) -> list[str]:
    found = []
    for path in tree.first_files(".json", 20):
        if _is_export(tree.at(path)):
            found.append(path)
    return found


def _is_export(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            begin = file.read(2**20)
            file.seek(max(0, os.path.getsize(path) - 2**16))
            text = begin + file.read()
    except OSError:
        return False
    return begin.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"[") and any(word in text for word in _WORDS)


def open_splits(data: Data) -> Splits:
    """The splits of a folder with an export of Label Studio."""
    tree = read_tree(os.path.expanduser(data.path))
    files = _files(tree)
    if not files:
        return nothing_in(tree.root, "no JSON export of Label Studio, with polygonlabels or brushlabels")
    problems: list[str] = []
    tasks = [
        (f"{tree.shown(file)}: task {t.get('id', n)}", t) for file in files for n, t in _tasks(tree, file, problems)
    ]
    notes = [f"recognised: an export of {TITLE}, {', '.join(files[:3])}"]
    chosen, several, bare = [], 0, []
    for at, task in tasks:
        results, more = _results(task)
        several += more
        if results is None:
            bare.append(at)
        else:
            chosen.append((at, task, results))
    if several:
        notes.append(f"{several} tasks have several annotations: the ground truth, else the latest, is read")
    if bare:
        notes.append(f"{len(bare)} tasks are not annotated, or skipped, and are not read: {bare[0]}")
    found = sorted({label for _, _, results in chosen for result in results for label in _labels_of(result)})
    labels = Labels(found, data)
    drawings = []
    for at, task, results in chosen:
        try:
            drawings.append(_drawing(at, task, results, labels, tree, problems))
        except DataError as error:
            problems.append(str(error))
    return drawn_splits(tree, drawings, labels, data, problems=problems, notes=notes)


def _tasks(tree: Tree, file: str, problems: list[str]) -> Iterator[tuple[int, Mapping]]:
    seen = set()
    for number, task in enumerate(read_json(tree.at(file))):
        if not isinstance(task, Mapping):
            problems.append(f"{tree.shown(file)}: item {number} is no object of JSON: {str(task)[:60]}")
        elif task.get("id") is not None and task["id"] in seen:
            problems.append(f"{tree.shown(file)}: task {task['id']} occurs twice.")
        else:
            seen.add(task.get("id"))
            yield number, task


def _results(task: Mapping) -> tuple[list[Mapping] | None, bool]:
    """The results of a task, and whether it has several annotations to choose from; None for a task without any."""
    if "annotations" in task or "completions" in task:
        done = [
            a
            for a in task.get("annotations") or task.get("completions") or []
            if isinstance(a, Mapping) and not a.get("was_cancelled") and isinstance(a.get("result"), list)
        ]
        if not done:
            return None, False
        truth = [a for a in done if a.get("ground_truth")]
        latest = max(truth or done, key=lambda a: str(a.get("updated_at") or a.get("created_at") or ""))
        return [result for result in latest["result"] if isinstance(result, Mapping)], len(done) > 1
    # JSON-MIN: the results are listed under the name of their tag.
    lists = [
        v for v in task.values() if isinstance(v, list) and v and isinstance(v[0], Mapping) and "original_width" in v[0]
    ]
    return [{"value": item, **item} for found in lists for item in found] if lists else None, False


def _labels_of(result: Mapping) -> list[str]:
    """The labels of a result with an area: under a key such as "polygonlabels", or of a separate tag, "labels"."""
    value = result.get("value")
    if not isinstance(value, Mapping) or not _kind(result):
        return []
    for key in (*(f"{kind}labels" for kind in _KINDS), "labels"):
        if isinstance(value.get(key), list):
            return [str(label) for label in value[key]]
    return []


def _kind(result: Mapping) -> str:
    value = result.get("value")
    if not isinstance(value, Mapping):
        return ""
    if "points" in value:
        return "polygon"
    if "rle" in value:
        return "brush"
    if "radiusX" in value:
        return "ellipse"
    return "rectangle" if {"x", "y", "width", "height"} <= value.keys() else ""


def _drawing(
    at: str, task: Mapping, results: list[Mapping], labels: Labels, tree: Tree, problems: list[str]
) -> Drawing:
    image = _image_of(at, task, tree)
    shapes, sizes = [], set()
    by_region: dict[Any, list[str]] = {}
    for result in results:
        by_region.setdefault(result.get("id"), []).extend(_labels_of(result))
    for number, result in enumerate(results):
        kind, name = _kind(result), f"{at}: region {result.get('id', number)}"
        if not kind:
            continue
        # A region drawn with one tag and labelled with another has one result for each.
        own = _labels_of(result) or by_region.get(result.get("id"), [])
        if result.get("type") == "labels" and any(
            other is not result and other.get("id") == result.get("id") and _kind(other) for other in results
        ):
            continue
        try:
            size = size_of(result.get("original_height"), result.get("original_width"), name)
            if size is None:
                raise DataError(f"{name}: has no original_width and original_height.")
            if float(result.get("image_rotation") or 0) % 360:
                raise DataError(f"{name}: was drawn over the image turned by {result['image_rotation']} degrees.")
            if len(own) != 1:
                raise DataError(f"{name}: has {len(own)} labels; a pixel has one class. Received: {', '.join(own)}")
        except (DataError, TypeError, ValueError) as error:
            problems.append(str(error))
            continue
        sizes.add(size)
        class_id = labels.id_of(own[0], name)
        if class_id is not None:
            short = f"region {result.get('id', number)}"
            shapes += collected(
                problems,
                lambda k=kind, v=result["value"], s=size, c=class_id, n=name, b=short: _shape(k, v, s, c, n, b),
            )
    if len(sizes) > 1:
        raise DataError(f"{at}: its regions are of images of several sizes: {sorted(sizes)} (height, width).")
    return Drawing(image, tuple(shapes), next(iter(sizes), None))


def _image_of(at: str, task: Mapping, tree: Tree) -> str:
    values = task.get("data") if isinstance(task.get("data"), Mapping) else task
    texts = [(key, value) for key, value in values.items() if isinstance(value, str)]
    named = [value for key, value in texts if key in ("image", "img", "photo", "picture")] or [
        value for _, value in texts if re.search(r"(?i)\.(png|jpe?g|bmp|tiff?|webp|gif)($|[?&])", value)
    ]
    if not named:
        raise DataError(f"{at}: its data name no image: {', '.join(map(str, values))[:60]}")
    from urllib.parse import unquote

    path = unquote(named[0].split("?d=")[-1] if "?d=" in named[0] else named[0].split("?")[0])
    name = path.rsplit("/", 1)[-1]
    prefixed = _UPLOAD.match(name)
    for candidate in (path, name, *([prefixed[1]] if prefixed else [])):
        found = tree.find_image(candidate)
        if isinstance(found, str):
            return found
        if found:
            raise DataError(f"{at}: its image {shown(name)!r} is there {len(found)} times: {', '.join(found[:3])}.")
    raise DataError(f"{at}: its image {shown(name)!r} is not below the folder.")


def _shape(kind: str, value: Mapping, size: tuple[int, int], class_id: int, at: str, name: str) -> Shape:
    height, width = size
    if kind == "brush":
        mask = _Brush(value["rle"], size, at)
        return Shape(class_id, bitmap=mask, name=name)
    if kind == "polygon":
        points = points_of(value["points"], at)
        return Shape(class_id, (tuple((x / 100 * width, y / 100 * height) for x, y in points),), name=name)
    keys = ("x", "y", "width", "height") if kind == "rectangle" else ("x", "y", "radiusX", "radiusY")
    try:
        x, y, wide, high = (float(value[key]) / 100 for key in keys)
        turn = np.deg2rad(float(value.get("rotation") or 0))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{at}: a {kind} needs {', '.join(keys)}. Received: {str(dict(value))[:80]}") from error
    x, y, wide, high = x * width, y * height, wide * width, high * height
    if kind == "rectangle":
        corners = np.array([(0, 0), (wide, 0), (wide, high), (0, high)])
    else:
        angles = np.linspace(0, 2 * np.pi, 360, endpoint=False)
        corners = np.stack([wide * np.cos(angles), high * np.sin(angles)], axis=1)
    # Turned clockwise about its first corner, or its middle.
    turned = corners @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) + (x, y)
    return Shape(class_id, (points_of(turned, at),), name=name)


class _Brush:
    """A brush mask, decoded when it is first drawn and kept as bits, since its code is read bit by bit."""

    def __init__(self, rle: Any, size: tuple[int, int], at: str):
        self._size, self._at, self._bits = size, at, None
        try:
            self._code = bytes(rle)
        except (TypeError, ValueError) as error:
            raise DataError(f"{at}: its rle is no list of bytes: {str(rle)[:60]}") from error
        count = int.from_bytes(self._code[:4], "big")
        if count != 4 * size[0] * size[1]:
            raise DataError(
                f"{at}: its rle holds {count} values, and an image of {size[1]} x {size[0]} has "
                f"{4 * size[0] * size[1]}, four a pixel."
            )

    def __call__(self) -> tuple[np.ndarray, int, int]:
        if self._bits is None:
            alpha = decode_brush(self._code, self._at).reshape(*self._size, 4)[:, :, 3]
            self._bits, self._code = np.packbits(alpha > 0), b""
        count = self._size[0] * self._size[1]
        return np.unpackbits(self._bits, count=count).view(bool).reshape(self._size), 0, 0


def decode_brush(code: bytes, at: str) -> np.ndarray:
    """The values of Label Studio's run-length code (thi.ng's rle-pack): uint8 `[count]`.

    32 bits count, 5 bits word size - 1, four times 4 bits run size - 1; then for each run a bit for whether a single
    word is repeated, 2 bits that choose the size of its length, the length - 1, and one word or as many.
    """
    bits = np.unpackbits(np.frombuffer(code, np.uint8))
    total = 8 * len(code)

    def read(start: int, count: int) -> int:
        first, last = start >> 3, (start + count + 7) >> 3
        return (int.from_bytes(code[first:last], "big") >> (8 * last - start - count)) & ((1 << count) - 1)

    count, word = read(0, 32), read(32, 5) + 1
    sizes = [read(37 + 4 * place, 4) + 1 for place in range(4)]
    values, done, place = np.zeros(count, np.uint8), 0, 53
    weights = 1 << np.arange(word - 1, -1, -1)
    while done < count:
        if place + 3 > total:
            raise DataError(f"{at}: its rle ends after {done} of {count} values.")
        head = read(place, 3)
        size = sizes[head & 3]
        length = read(place + 3, size) + 1
        place += 3 + size
        words = 1 if head & 4 else length
        if place + words * word > total + 7 or done + length > count:
            raise DataError(f"{at}: its rle is damaged after {done} of {count} values.")
        if head & 4:
            values[done : done + length] = read(place, word) & 255
        else:
            values[done : done + length] = bits[place : place + words * word].reshape(-1, word) @ weights & 255
        done, place = done + length, place + words * word
    return values
