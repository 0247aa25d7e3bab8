"""Files beside masks that name classes, with the colour or value of each; every program writes its own kind.

class_dict.csv     name,r,g,b               CamVid on Kaggle, DeepGlobe
label_colors.txt   64 128 64<TAB>Animal     CamVid; CVAT
labelmap.txt       # label:color_rgb:parts:actions, person:128,0,0::   CVAT, Datumaro
_classes.csv       Pixel Value, Class       Roboflow
classes.txt, codes.txt, class_names.txt, labels.txt   a name a line, "3: name", or "3 name 128 64 0" with a colour
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from trainer.data.errors import DataError
from trainer.data.sources.formats.descriptions import read_json, read_rows, read_text
from trainer.data.sources.formats.tree import Tree

Color = tuple[int, int, int]


@dataclasses.dataclass(frozen=True)
class ClassTable:
    """A file's contents: colours by class name, values by class name, or only names, whose position is the value.

    path: the file, relative to the folder.
    """

    path: str
    colors: tuple[tuple[Color, str], ...] = ()
    values: tuple[tuple[int, str], ...] = ()

    @property
    def names(self) -> list[str]:
        return [name for _, name in self.colors or self.values]


_TABLES = ("class_dict.csv", "label_colors.txt", "labelmap.txt", "_classes.csv", "class_dict_seg.csv", "classes.csv")
_NAMES = ("codes.txt", "classes.txt", "class_names.txt", "labels.txt", "classnames.txt")


def above(path: str) -> tuple[str, ...]:
    """The folders around a file, from the innermost to ""."""
    parts = path.split("/")[:-1]
    return tuple("/".join(parts[:count]) for count in range(len(parts), -1, -1))


def find_table(tree: Tree, places: Sequence[str] = ("",), *, names: bool = True) -> ClassTable | None:
    """The first table in any of these folders, in the order of the kinds; None if there is none.

    Raises:
      DataError: a table has a line that cannot be read.
    """
    for wanted in (*_TABLES, *(_NAMES if names else ())):
        for place in places:
            path = next((name for name in tree.folders.get(place, ()) if name.lower() == wanted), None)
            if path is not None:
                table = read_table(tree, f"{place}/{path}" if place else path)
                if table is not None:
                    return table
    return None


def read_table(tree: Tree, path: str) -> ClassTable | None:
    """A table by its path; None if the file has no such lines at all.

    Raises:
      DataError: some lines can be read and others not; names file and line.
    """
    kind = path.rpartition("/")[2].lower()
    if kind == "labelmap.txt":
        return _labelmap(tree, path)
    if kind == "label_colors.txt":
        return _colors_then_names(tree, path)
    if kind.endswith(".csv"):
        return _csv(tree, path)
    lines = [(n, line.strip()) for n, line in enumerate(read_text(tree.at(path)).split("\n"), 1) if line.strip()]
    full = [re.fullmatch(r"(\d+)\s+(.+?)\s+(\d+)[\s,]+(\d+)[\s,]+(\d+)", line) for _, line in lines]
    if any(full) and all(found or line.startswith("#") for found, (_, line) in zip(full, lines, strict=True)):
        rows = sorted((found for found in full if found), key=lambda found: int(found[1]))
        named = [(_color(found.groups()[2:], tree.shown(path)), found[1], found[2]) for found in rows]
        # 255 is the usual number for pixels that are not counted, whatever its name.
        return ClassTable(path, colors=tuple((c, "void" if number == "255" else name) for c, number, name in named))
    values = []
    for place, (_, line) in enumerate(lines):
        numbered = re.fullmatch(r"(\d+)\s*[:\t,]\s*(.+)", line)
        values.append((int(numbered[1]), numbered[2]) if numbered else (place, line))
    return ClassTable(path, values=_without_twins(values, tree.shown(path)))


def _labelmap(tree: Tree, path: str) -> ClassTable:
    entries = []
    for number, line in enumerate(read_text(tree.at(path)).split("\n"), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        name, _, rest = line.partition(":")
        color = rest.partition(":")[0]
        entries.append((_color(color.split(","), f"{tree.shown(path)}:{number}"), name.strip()))
    if not entries:
        raise DataError(f"{tree.shown(path)}: names no class; a line is name:red,green,blue::")
    return ClassTable(path, colors=tuple(entries))


def _colors_then_names(tree: Tree, path: str) -> ClassTable:
    entries = []
    for number, line in enumerate(read_text(tree.at(path)).split("\n"), 1):
        parts = line.split(None, 3)
        if not parts or line.lstrip().startswith("#"):
            continue
        at = f"{tree.shown(path)}:{number}"
        if len(parts) < 4:
            raise DataError(f"{at}: a line is red, green, blue and a name. Received: {line.strip()[:60]!r}")
        entries.append((_color(parts[:3], at), parts[3].strip()))
    if not entries:
        raise DataError(f"{tree.shown(path)}: names no class.")
    return ClassTable(path, colors=tuple(entries))


def _csv(tree: Tree, path: str) -> ClassTable | None:
    rows = read_rows(tree.at(path))
    header = [field.lower() for field in rows[0][1]]
    name_at = next((n for n, field in enumerate(header) if field in ("name", "class", "class name", "label")), None)
    color_at = [next((n for n, f in enumerate(header) if f in (c, c[0])), None) for c in ("red", "green", "blue")]
    value_at = next(
        (n for n, f in enumerate(header) if f in ("pixel value", "value", "id", "class id", "class_id", "index")), None
    )
    if name_at is None or (None in color_at and value_at is None):
        if path.rpartition("/")[2].lower() == "classes.csv":
            return None  # Any table may have this name.
        raise DataError(
            f"{tree.shown(path)}: its first line has to name the columns, as name, r, g, b or Pixel Value, Class. "
            f"Received: {', '.join(rows[0][1])[:60]!r}"
        )
    colors, values = [], []
    for number, fields in rows[1:]:
        at = f"{tree.shown(path)}:{number}"
        if len(fields) < len(header):
            raise DataError(f"{at}: has {len(fields)} fields, and the first line {len(header)}: {', '.join(header)}.")
        if None not in color_at:
            colors.append((_color([fields[n] for n in color_at], at), fields[name_at]))
        elif not fields[value_at].isdigit():
            raise DataError(f"{at}: {header[value_at]} is no whole number. Received: {fields[value_at]!r}")
        else:
            values.append((int(fields[value_at]), fields[name_at]))
    if not colors and not values:
        raise DataError(f"{tree.shown(path)}: names no class.")
    return ClassTable(path, tuple(colors), _without_twins(values, tree.shown(path)))


def _color(parts: Sequence[str], at: str) -> Color:
    try:
        color = tuple(int(part) for part in parts)
        if len(color) != 3 or not all(0 <= part <= 255 for part in color):
            raise ValueError
    except ValueError as error:
        raise DataError(f"{at}: a colour is three numbers from 0 to 255. Received: {', '.join(parts)[:60]}") from error
    return color


def _without_twins(values: Sequence[tuple[int, str]], at: str) -> tuple[tuple[int, str], ...]:
    seen: dict[int, str] = {}
    for value, name in values:
        if seen.setdefault(value, name) != name:
            raise DataError(f"{at}: the value {value} is both {seen[value]!r} and {name!r}.")
    return tuple(values)


def id2label(tree: Tree, place: str = "") -> list[tuple[int, str]]:
    """(value, name) of an id2label.json, as of models and data on the Hugging Face hub; empty where there is none.

    Raises:
      DataError: the file is something else.
    """
    path = f"{place}/id2label.json" if place else "id2label.json"
    if not tree.has(path):
        return []
    content = read_json(tree.at(path))
    if not isinstance(content, dict) or not all(str(key).isdigit() for key in content):
        raise DataError(f'{tree.shown(path)}: has to be {{"0": "name", …}}.')
    return sorted((int(key), str(name)) for key, name in content.items())
