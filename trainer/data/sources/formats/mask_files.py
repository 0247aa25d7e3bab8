"""Formats with a mask file for each image: their pairs, and the fields for the meaning of the masks' values."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from configs.schema import Data
from trainer.data.errors import DataError, shown
from trainer.data.sources.formats.descriptions import stem_of
from trainer.data.sources.formats.drawn_masks import VOID
from trainer.data.sources.formats.tree import Tree
from trainer.data.sources.headers import check_headers
from trainer.data.sources.pairs import FilePairs, Pair
from trainer.data.sources.splits import Splits
from trainer.data.sources.splitting import split_examples


@dataclasses.dataclass(frozen=True)
class Placed:
    """A pair of files, and its split by the format: "" leaves it to the folders' names."""

    image: str
    mask: str
    split: str = ""


@dataclasses.dataclass(frozen=True)
class Matched:
    """Images and masks by the shared part of their names; `without` and `alone` have no partner."""

    pairs: Mapping[str, Placed]
    without: tuple[str, ...] = ()
    alone: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def match(
    tree: Tree,
    images: Sequence[str],
    masks: Sequence[str],
    split: str = "",
    *,
    image_key: Callable[[str], str] = stem_of,
    mask_key: Callable[[str], str] = stem_of,
) -> Matched:
    """Pairs the files of two folders by keys made from their paths."""
    problems: list[str] = []
    by_key: list[dict[str, str]] = []
    for paths, key_of in ((images, image_key), (masks, mask_key)):
        found: dict[str, str] = {}
        for path in paths:
            key = key_of(path)
            if key in found:
                problems.append(
                    f"{tree.shown(path)}: has the same stem as {shown(found[key])}; which of them is meant?"
                )
            else:
                found[key] = path
        by_key.append(found)
    both = by_key[0].keys() & by_key[1].keys()
    return Matched(
        {key: Placed(by_key[0][key], by_key[1][key], split) for key in sorted(both)},
        tuple(path for key, path in by_key[0].items() if key not in both),
        tuple(path for key, path in by_key[1].items() if key not in both),
        tuple(problems),
    )


def lonely(tree: Tree, matched: Matched) -> list[str]:
    """Problems of files without a partner: one for each if they are few, one for all if they are many."""
    found = []
    for what, paths in (("an image without a mask", matched.without), ("a mask without an image", matched.alone)):
        if len(paths) > 3:
            plural = "images without masks" if what.startswith("an image") else "masks without images"
            first = ", ".join(tree.shown(path) for path in paths[:3])
            found.append(f"{len(paths)} {plural}: {first}, …")
        else:
            found += [f"{tree.shown(path)}: {what}." for path in paths]
    return found


def pair_splits(
    tree: Tree,
    pairs: Sequence[Placed],
    data: Data,
    *,
    fields: Mapping[str, Any],
    problems: Sequence[str] = (),
    notes: Sequence[str] = (),
    reader: type[FilePairs] = FilePairs,
) -> Splits:
    """The splits of pairs, whose masks are read by the config, or by `fields` where the config leaves it open."""
    divided = split_examples(pairs, data, shown(tree.root))
    train, validation, test = (
        tuple(Pair(placed.image, placed.mask) for placed in split)
        for split in (divided.train, divided.validation, divided.test)
    )
    problems = [*problems, *check_headers(tree.root, [*train, *validation], data)]
    return Splits(
        reader(tree.root, train, data),
        reader(tree.root, validation, data),
        test=reader(tree.root, test, data) if test else None,
        named=divided.named,
        classes=fields.get("classes", ()),
        title=shown(data.path),
        problems=tuple(problems),
        fatal=divided.fatal,
        notes=(*notes, *divided.notes),
        fields=fields,
        advice="--config.data.bad_files=skip leaves such files out; --mode=check looks into every file.",
    )


def says_masks(data: Data) -> bool:
    """Whether the config itself defines the values of masks; then a format's table does not count."""
    return bool(data.mask_encoding != "auto" or data.mask_ids or data.mask_colors)


def by_values(entries: Sequence[tuple[int, str]], data: Data) -> dict[str, Any]:
    """Fields for masks of numbers.

    Args:
      entries: (value, class name), in the order of the classes; names such as "void" and "unlabeled" are void.
      data: its classes may order the names differently.
    Raises:
      DataError: data.classes names others.
    """
    classes, ids = _classes(entries, data)
    table = tuple((value, ids[number]) for number, (value, _) in enumerate(entries))
    plain = table == tuple((n, n) for n in range(len(classes)))
    return {"classes": classes, "mask_encoding": "ids", "mask_ids": () if plain else table}


def by_colors(entries: Sequence[tuple[tuple[int, int, int], str]], data: Data) -> dict[str, Any]:
    """Fields for masks of colours: as `by_values`, with (red, green, blue) instead of a value."""
    classes, ids = _classes(entries, data)
    table: dict[tuple[int, int, int], int] = {}
    for number, (color, name) in enumerate(entries):
        if table.setdefault(color, ids[number]) != ids[number]:
            first = next(other for shade, other in entries if shade == color)
            raise DataError(
                f"The classes {first!r} and {name!r} have the same colour, {color}: they cannot be distinguished."
            )
    return {
        "classes": classes,
        "mask_encoding": "colors",
        "mask_colors": tuple((*color, class_id) for color, class_id in table.items()),
    }


def _classes(entries: Sequence[tuple[Any, str]], data: Data) -> tuple[tuple[str, ...], list[int]]:
    """Class names, and the class id of each entry."""
    if data.multi_label:
        raise DataError(
            "data.labels=multi: in these masks a pixel has one class; leave it out. Classes that unite several of "
            "their values, and may overlap then: data.mask_encoding=regions, with data.mask_ids and data.classes."
        )
    names = list(dict.fromkeys(name for _, name in entries if name.lower() not in VOID))
    if not names:
        raise DataError("The data name no class but void.")
    classes = data.classes or tuple(names)
    if len(data.classes) == len(names) and not set(names) & set(data.classes):
        renamed = dict(zip(names, data.classes, strict=True))
    else:
        renamed = {name: name for name in names}
    strangers = [name for name in renamed.values() if name not in classes]
    if strangers:
        raise DataError(
            f"The data have {len(names)} classes, and data.classes does not name {', '.join(strangers[:8])}. Leave "
            f"data.classes out, or name all: --config.data.classes={','.join(names[:99])}{',…' if names[99:] else ''}"
        )
    ids = [data.void_id if name.lower() in VOID else classes.index(renamed[name]) for _, name in entries]
    return classes, ids


def void_note(entries: Sequence[tuple[Any, str]]) -> list[str]:
    """The note on a name that means that pixels are not counted."""
    values: dict[str, list[str]] = {}
    for value, name in entries:
        if name.lower() in VOID:
            values.setdefault(name, []).append(str(value))
    void = [f"{name!r} ({', '.join(found)})" for name, found in values.items()]
    return [f"void, which no loss or score counts: {', '.join(void)}"] if void else []


def most(paths: Sequence[str], count: int = 3) -> str:
    """The first few paths, for a note."""
    return ", ".join(map(shown, paths[:count])) + (", …" if paths[count:] else "")
