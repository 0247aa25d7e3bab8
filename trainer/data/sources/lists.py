"""train.txt and val.txt: which pairs are trained on and which are held out.

A line is a stem ("a"), an image's path ("images/a.jpg", "Tile 1/images/a.jpg"), or an image's path, a TAB and a mask's
path, all below the folder. Empty lines are skipped.
"""

from __future__ import annotations

import difflib
import os

from trainer.data.errors import shown
from trainer.data.sources.pairs import Listing, Pair

_LISTS = (("train", "train.txt"), ("validation", "val.txt"))


def present(root: str) -> bool:
    """Whether the folder is split by lists."""
    return any(os.path.exists(os.path.join(root, name)) for _, name in _LISTS)


def read_lists(root: str, pairs: dict[str, Pair], loose: list[str]) -> Listing:
    """The `Listing` of a folder that is split by lists.

    Args:
      root: the folder.
      pairs: its pairs by key, from their stems.
      loose: problems met while pairing; those of files on no list are of no concern.
    """
    problems: list[str] = []
    fatal: list[str] = []
    splits: dict[str, tuple[Pair, ...]] = {}
    line_of: dict[str, str] = {}
    finder = _Finder(root, pairs, loose)
    for split, file_name in _LISTS:
        path = os.path.join(root, file_name)
        lines, trouble = _lines(path)
        if trouble:
            fatal.append(trouble)
            continue
        chosen = []
        for number, line in lines:
            at = f"{shown(path)}:{number}"
            pair, problem = finder.find(line)
            if problem:
                problems.append(f"{at}: {problem}")
            elif pair.image in line_of:
                problems.append(
                    f"{at}: {shown(pair.image)} stands in {line_of[pair.image]} already"
                    + ("; what is trained on cannot be held out." if file_name not in line_of[pair.image] else ".")
                )
            else:
                line_of[pair.image] = f"{file_name}:{number}"
                chosen.append(pair)
        splits[split] = tuple(chosen)
        if not chosen:
            why = ": no line names a pair that can be used" if lines else ""
            fatal.append(f"{shown(path)}: the {split} split is empty{why}.")
    unlisted = len({pair.image for pair in pairs.values()} - line_of.keys())
    pairs_stand = "1 pair stands" if unlisted == 1 else f"{unlisted} pairs stand"
    notes = (f"{pairs_stand} in neither train.txt nor val.txt and are not used.",) if unlisted else ()
    return Listing(splits.get("train", ()), splits.get("validation", ()), tuple(problems), tuple(fatal), notes)


def _lines(path: str) -> tuple[list[tuple[int, str]], str]:
    """Numbered lines that are not empty, and what is wrong with the file."""
    if not os.path.isfile(path):
        other = "val.txt" if path.endswith("train.txt") else "train.txt"
        return [], f"{shown(path)}: does not exist, but {other} does: write both, or neither to split by a fraction."
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline=None) as file:
            text = file.read()
    except OSError as error:
        return [], f"{shown(path)}: cannot be read: {error.strerror}."
    if "\0" in text:
        return [], f"{shown(path)}: is not a text file in UTF-8 (it has zero bytes; UTF-16?)."
    lines = [(number, line.strip(" \r")) for number, line in enumerate(text.split("\n"), start=1)]
    return [(number, line) for number, line in lines if line.strip()], ""


class _Finder:
    """From a line to its pair."""

    def __init__(self, root: str, pairs: dict[str, Pair], loose: list[str]):
        self._root = root
        self._pairs = pairs
        self._loose = loose
        self._by_name: dict[str, list[Pair]] = {}
        for key, pair in pairs.items():
            base = os.path.basename(pair.image)
            for name in {key, pair.image, base, os.path.splitext(base)[0], os.path.splitext(pair.image)[0]}:
                self._by_name.setdefault(name, []).append(pair)

    def find(self, line: str) -> tuple[Pair | None, str]:
        """The pair of a line, or None and what is wrong with it."""
        if "\t" in line:
            return self._explicit(line)
        wanted = os.path.normpath(line).replace(os.sep, "/")
        found = self._by_name.get(wanted, [])
        if len(found) == 1:
            return found[0], ""
        if len(found) > 1:
            return None, f"{shown(line)!r} could be {' or '.join(shown(p.image) for p in found[:4])}; write its path."
        stem = _stem(wanted)
        for reason in self._loose:
            if _stem(reason.split(": ", 1)[0]) == shown(stem):
                return None, reason
        near = difflib.get_close_matches(wanted, self._by_name, 1)
        return None, f"no image {shown(line)!r} below {shown(self._root)}." + (
            f" Did you mean {shown(near[0])!r}?" if near else ""
        )

    def _explicit(self, line: str) -> tuple[Pair | None, str]:
        fields = [field.strip() for field in line.split("\t")]
        if len(fields) != 2 or not all(fields):
            return None, f"has {len(fields)} fields; a line is an image's path, one TAB and a mask's path."
        for kind, field in zip(("image", "mask"), fields, strict=True):
            path = os.path.join(self._root, field)
            if not os.path.isfile(path):
                return None, f"the {kind} {shown(field)!r} does not exist below {shown(self._root)}."
        image, mask = (os.path.normpath(field).replace(os.sep, "/") for field in fields)
        return Pair(image, mask), ""


def _stem(path: str) -> str:
    return os.path.splitext(os.path.basename(path))[0]
