"""The images given by files, folders and patterns, and the names of their outputs."""

from __future__ import annotations

import collections
import dataclasses
import glob
import os
from collections.abc import Callable, Iterable, Mapping, Sequence

from trainer.data import IMAGE_SUFFIXES
from trainer.data.sources.names import kind_of_folder
from trainer.errors import UserError


@dataclasses.dataclass(frozen=True)
class Failure:
    """An input that could not be predicted, and why."""

    path: str
    reason: str

    def __str__(self) -> str:
        return self.reason if self.path in self.reason else f"{self.path}: {self.reason}"


def are_paths(images) -> bool:
    """Whether images are given as names of files."""
    if isinstance(images, (str, os.PathLike)):
        raise UserError(f"predict takes a list of paths: [{os.fspath(images)!r}].")
    if isinstance(images, Mapping):
        return False
    return not hasattr(images, "shape") and len(images) > 0 and all(isinstance(i, (str, os.PathLike)) for i in images)


def find_images(
    inputs: Sequence[str], output_dir: str = "", report: Callable[[str], None] = lambda text: None
) -> tuple[dict[str, str], list[Failure]]:
    """Expands files, folders and globs; `report` is called with a line for each folder that is left out.

    Returns:
      (path -> its path below the searched folder, in order and each once; the inputs without images).
    """
    found, failures = expanded(
        inputs,
        lambda folder: _images_below(folder, output_dir, report),
        f"no image in it; looked for {', '.join(IMAGE_SUFFIXES)}",
    )
    return found, failures


def expanded(
    inputs: Sequence[str], below: Callable[[str], Sequence[str]], nothing: str, is_one=lambda path: False
) -> tuple[dict[str, str], list[Failure]]:
    """Files, folders and patterns as paths.

    Args:
      inputs: as given.
      below: returns the images in a folder.
      nothing: the reason for a folder without images.
      is_one: whether a folder is an input by itself, like a DICOM series.

    Returns:
      As `find_images`.
    """
    found: dict[str, str] = {}
    failures = []
    for given in inputs:
        text = os.path.expanduser(given)
        # A file may be called "a[1].png": the name of an existing file is not a pattern.
        matches = [text] if os.path.lexists(text) else sorted(glob.glob(text, recursive=True))
        held = 0
        for match in matches:
            is_folder = os.path.isdir(match) and not is_one(match)
            paths = [(path, os.path.relpath(path, match)) for path in below(match)] if is_folder else []
            paths = paths if is_folder else [(os.path.normpath(match), os.path.basename(match))]
            held += len(paths)
            for path, name in paths:
                found.setdefault(path, name)
        if not matches:
            what = "no file matches this pattern" if glob.has_magic(text) else "there is no such file or folder"
            failures.append(Failure(given, what))
        elif not held:
            failures.append(Failure(given, nothing))
    return found, failures


def without_masks(parent: str, folders: Iterable[str], report: Callable[[str], None]) -> list[str]:
    """The folders of a folder, but those of masks where one of images is beside them: these are no pictures."""
    kinds = {name: kind_of_folder(name) for name in folders}
    masks = [name for name, kind in kinds.items() if kind == "masks" and "images" in kinds.values()]
    for name in masks:
        report(f"{os.path.join(parent, name)}: masks beside images, left out. Name the folder to predict its files.")
    return [name for name in kinds if name not in masks]


def _images_below(folder: str, output_dir: str, report: Callable[[str], None]) -> list[str]:
    output = os.path.realpath(output_dir) if output_dir else None
    paths = []
    for parent, folders, files in os.walk(folder):
        others = sorted(
            name
            for name in folders
            if not name.startswith(".") and os.path.realpath(os.path.join(parent, name)) != output
        )
        folders[:] = without_masks(parent, others, report)
        paths += [
            os.path.normpath(os.path.join(parent, name))
            for name in sorted(files)
            if name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")
        ]
    return paths


def output_names(paths: dict[str, str]) -> dict[str, str]:
    """Names for the outputs, without extension, all different, even if case is ignored.

    Args:
      paths: path -> the preferred name, with extension.
    """
    names = {path: os.path.splitext(wish)[0] for path, wish in paths.items()}
    for group in _alike(names):
        # The same name in several folders: the differing part of the path is put before it.
        folders = {path: os.path.dirname(os.path.abspath(path)) for path in group}
        common = os.path.commonpath(folders.values())
        for path in group:
            names[path] = os.path.splitext(os.path.relpath(os.path.abspath(path), common))[0]
    for group in _alike(names):
        # a.jpg beside a.png.
        for path in group:
            names[path] += os.path.splitext(path)[1].replace(".", "_")
    for group in _alike(names):
        for number, path in enumerate(group[1:], start=2):
            names[path] += f"_{number}"
    return names


def _alike(names: dict[str, str]) -> Iterable[list[str]]:
    groups = collections.defaultdict(list)
    for path, name in names.items():
        groups[name.casefold()].append(path)
    return [group for group in groups.values() if len(group) > 1]
