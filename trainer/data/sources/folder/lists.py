"""train.txt and val.txt: which pairs are trained on and which are held out; test.txt: which are neither.

A line is a stem ("a"), an image's path ("images/a.jpg", "Tile 1/images/a.jpg"), or an image's path and a mask's path
separated by a TAB, a comma or a space, below the folder or absolute. train.csv and val.csv may begin with the
columns' names ("image,mask"). Empty lines are skipped.
"""

from __future__ import annotations

import difflib
import os
import re

from trainer.data.errors import shown
from trainer.data.sources.pairs import Listing, Pair

_STEMS = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing", "heldout", "held_out"),
}
SUFFIXES = (".txt", ".csv", ".tsv", ".lst")
# Names of columns that hold an image or a mask.
_COLUMNS = ("image", "img", "file", "filename", "path", "mask", "label", "annotation", "segmentation")


def _file_names(root: str) -> dict[str, str]:
    """Split -> the list's name; the usual name where there is no list."""
    found = {}
    for split, stems in _STEMS.items():
        possible = [stem + suffix for stem in stems for suffix in SUFFIXES]
        found[split] = next((name for name in possible if os.path.exists(os.path.join(root, name))), "")
    suffix = next((os.path.splitext(name)[1] for name in found.values() if name), ".txt")
    return {split: name or _STEMS[split][0] + suffix for split, name in found.items()}


def present(root: str, any_split: bool = False) -> bool:
    """Whether the folder is split by lists; a list of only the test split counts if `any_split`."""
    names = _file_names(root)
    wanted = names if any_split else ("train", "validation")
    return any(os.path.exists(os.path.join(root, names[split])) for split in wanted)


def read_list(
    root: str, name: str, pairs: dict[str, Pair], loose: list[str]
) -> tuple[list[Pair], list[str], tuple[str, ...]]:
    """The pairs of one list, problems of its lines, and problems of the whole; arguments as for `read_lists`."""
    lines, trouble = _lines(os.path.join(root, name), name)
    finder, chosen, problems = _Finder(root, pairs, loose), [], []
    for number, line in lines:
        pair, problem = finder.find(line)
        if problem:
            problems.append(f"{shown(os.path.join(root, name))}:{number}: {problem}")
        elif pair not in chosen:
            chosen.append(pair)
    if not trouble and not chosen:
        trouble = (
            f"{shown(os.path.join(root, name))}: {'no line names a pair that can be used' if lines else 'is empty'}."
        )
    return chosen, problems, (trouble,) if trouble else ()


def read_test(root: str, pairs: dict[str, Pair], loose: list[str]) -> tuple[tuple[Pair, ...], str, list[str]]:
    """The pairs of a list of the test split beside data not split by lists, its name or "", and its problems."""
    name = _file_names(root)["test"]
    if not os.path.isfile(os.path.join(root, name)):
        return (), "", []
    chosen, problems, _ = read_list(root, name, pairs, loose)
    return tuple(chosen), name, problems


def read_lists(root: str, pairs: dict[str, Pair], loose: list[str], *, insist: bool = True) -> Listing:
    """The `Listing` of a folder that is split by lists.

    Args:
      root: the folder.
      pairs: its pairs by key, from their stems.
      loose: problems found while pairing; those of files on no list do not matter.
      insist: there have to be lists for training and for validation.
    """
    problems: list[str] = []
    fatal: list[str] = []
    splits: dict[str, tuple[Pair, ...]] = {}
    line_of: dict[str, str] = {}
    finder = _Finder(root, pairs, loose)
    listed = _file_names(root)
    for split, file_name in listed.items():
        path = os.path.join(root, file_name)
        if (split == "test" or not insist) and not os.path.exists(path):
            continue
        other = listed["validation" if split == "train" else "train"]
        lines, trouble = _lines(path, other)
        if trouble:
            fatal.append(trouble)
            continue
        chosen = []
        for number, line in lines:
            at = f"{shown(path)}:{number}"
            pair, problem = finder.find(line)
            if problem:
                problems.append(f"{at}: {problem}")
                continue
            # The same file may have two names: through a link, or by another spelling.
            file = os.path.realpath(os.path.join(root, pair.image))
            if file in line_of:
                problems.append(
                    f"{at}: {shown(pair.image)} stands in {line_of[file]} already"
                    + ("; what is trained on cannot be held out." if file_name not in line_of[file] else ".")
                )
            else:
                line_of[file] = f"{file_name}:{number}"
                chosen.append(pair)
        splits[split] = tuple(chosen)
        if not chosen:
            why = ": no line names a pair that can be used" if lines else ""
            fatal.append(f"{shown(path)}: the {split} split is empty{why}.")
    listed = {split: name for split, name in listed.items() if split in splits}
    unlisted = len({os.path.realpath(os.path.join(root, pair.image)) for pair in pairs.values()} - line_of.keys())
    pairs_stand = "1 pair stands" if unlisted == 1 else f"{unlisted} pairs stand"
    notes = (f"{pairs_stand} in neither {' nor '.join(listed.values())} and are not used.",) if unlisted else ()
    test = splits.get("test", ())
    if test and insist:
        notes += (f"{len(test)} pairs of {listed['test']} are neither trained on nor evaluated",)
    return Listing(
        splits.get("train", ()),
        splits.get("validation", ()),
        test,
        named=tuple(splits),
        problems=tuple(problems),
        fatal=tuple(fatal),
        notes=notes,
    )


def _lines(path: str, other: str) -> tuple[list[tuple[int, str]], str]:
    """Numbered lines that are not empty, and the file's problems; `other` is the other list's name."""
    if not os.path.isfile(path):
        return [], f"{shown(path)}: does not exist, but {other} does: write both, or neither to split by a fraction."
    try:
        with open(path, encoding="utf-8-sig", errors="surrogateescape", newline=None) as file:
            text = file.read()
    except OSError as error:
        return [], f"{shown(path)}: cannot be read: {error.strerror}."
    if "\0" in text:
        return [], f"{shown(path)}: is not a text file in UTF-8 (it has zero bytes; UTF-16?)."
    lines = [(number, line.strip(" \r")) for number, line in enumerate(text.split("\n"), start=1)]
    lines = [(number, line) for number, line in lines if line.strip()]
    if lines and _is_header(lines[0][1]):
        lines = lines[1:]
    return lines, ""


def _is_header(line: str) -> bool:
    words = [word.strip(" \"'").lower() for word in re.split(r"[,;\t]", line)]
    return len(words) > 1 and any(word.startswith(_COLUMNS) and "." not in word for word in words)


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
        """The pair of a line, or None and the problem."""
        if "\t" in line:
            return self._explicit(line.split("\t"))
        wanted = os.path.normpath(line).replace(os.sep, "/")
        found = self._by_name.get(wanted, [])
        if not found:
            two = self._two_files(line)
            if two:
                return self._explicit(two)
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

    def _two_files(self, line: str) -> list[str] | None:
        """An image's and a mask's path separated by a comma, a semicolon or a space, where either is a file."""
        for separator in (",", ";", " "):
            parts = line.split(separator)
            for end in range(1, len(parts)):
                two = [separator.join(parts[:end]).strip(" \"'"), separator.join(parts[end:]).strip(" \"'")]
                if any(os.path.isfile(os.path.join(self._root, part)) for part in two):
                    return two
        return None

    def _explicit(self, fields: list[str]) -> tuple[Pair | None, str]:
        fields = [field.strip() for field in fields]
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
