"""The contents of a folder: every path below it, listed once for all readers that look for their own format."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Iterator, Mapping

from trainer.data.errors import shown
from trainer.data.images.files import IMAGE_SUFFIXES

_DEEPEST = 12


@dataclasses.dataclass(frozen=True, eq=False)
class Tree:
    """The files of a folder.

    root: the folder's path.
    folders: folder below it, "" for itself, with "/" between the parts -> sorted names of the files in it. Hidden files
      are left out; linked folders are followed once.
    """

    root: str
    folders: Mapping[str, tuple[str, ...]]

    def files(self, suffix: str = "") -> Iterator[str]:
        """Paths of files below the root, in order; all, or those with a suffix, in lower case."""
        for folder, names in self.folders.items():
            for name in names:
                if not suffix or name.lower().endswith(suffix):
                    yield f"{folder}/{name}" if folder else name

    def first_files(self, suffix: str, each: int, most: int = 200) -> list[str]:
        """Paths of the first files of a suffix in each folder, to be examined: where there are many, they are alike."""
        found: list[str] = []
        for folder, names in self.folders.items():
            own = [name for name in names if name.lower().endswith(suffix)][:each]
            found += [f"{folder}/{name}" if folder else name for name in own]
            if len(found) >= most:
                break
        return found

    def has(self, path: str) -> bool:
        folder, _, name = path.rpartition("/")
        return name in self._sets.get(folder, ())

    @functools.cached_property
    def _sets(self) -> Mapping[str, frozenset[str]]:
        return {folder: frozenset(names) for folder, names in self.folders.items()}

    def under(self, folder: str) -> list[str]:
        """Paths of the files below a folder, at any depth."""
        inside = [f for f in self.folders if f == folder or not folder or f.startswith(folder + "/")]
        return [f"{place}/{name}" if place else name for place in inside for name in self.folders[place]]

    def images(self, folder: str) -> list[str]:
        """Paths of the image files, by suffix, below a folder."""
        return [path for path in self.under(folder) if os.path.splitext(path)[1].lower() in IMAGE_SUFFIXES]

    def pictures_in(self, folder: str) -> list[str]:
        """As `images`, for the files in the folder itself."""
        names = [n for n in self.folders.get(folder, ()) if os.path.splitext(n)[1].lower() in IMAGE_SUFFIXES]
        return [f"{folder}/{name}" if folder else name for name in names]

    def called(self, *names: str) -> list[str]:
        """Folders with one of these names, whatever the case, the outermost first."""
        found = [folder for folder in self.folders if folder.rpartition("/")[2].lower() in names]
        return sorted(found, key=lambda folder: (folder.count("/"), folder))

    @functools.cached_property
    def by_name(self) -> Mapping[str, list[str]]:
        """Name of a file, composed as Unicode's form C -> its paths."""
        found: dict[str, list[str]] = {}
        for path in self.files():
            found.setdefault(composed(path.rpartition("/")[2]), []).append(path)
        return found

    def find_image(self, name: str, *, near: str = "", split: str = "") -> str | list[str]:
        """Finds an image by its name in an annotation.

        Args:
          name: a path or a name, perhaps written on another machine.
          near: a folder that is preferred where several files have this name.
          split: "train", "validation" or "test": preferred, too.
        Returns:
          the path; or a list, empty or of several equally good paths.
        """
        from trainer.data.sources.names import split_of

        name = composed(name.replace("\\", "/"))
        paths = self.by_name.get(name.rsplit("/", 1)[-1], [])
        exact = [path for path in paths if composed(path) == name or composed(path).endswith("/" + name)] or paths
        beside = [path for path in exact if os.path.dirname(path) == near]
        in_split = [path for path in exact if split and split_of(path) == split]
        for candidates in (beside, in_split, exact):
            if len(candidates) == 1:
                return candidates[0]
        return list(exact)

    def at(self, path: str) -> str:
        """The full path of a path below the root."""
        return os.path.join(self.root, path)

    def shown(self, path: str) -> str:
        """The full path for messages."""
        return shown(os.path.join(self.root, path))


def composed(text: str) -> str:
    """Unicode's form C: macOS writes an accent and its letter as two characters."""
    import unicodedata

    return text if text.isascii() else unicodedata.normalize("NFC", text)


def read_tree(root: str) -> Tree:
    """Lists a folder and everything below it.

    Raises:
      OSError: it cannot be listed.
    """
    folders: dict[str, tuple[str, ...]] = {}
    pending, seen = [""], set()
    while pending:
        place = pending.pop()
        here = os.path.join(root, place) if place else root
        real = os.path.realpath(here)
        if real in seen or place.count("/") >= _DEEPEST:
            continue
        seen.add(real)
        names, inside = [], []
        with os.scandir(here) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name in ("Thumbs.db", "desktop.ini", "__MACOSX"):
                    continue
                (inside if entry.is_dir() else names).append(entry.name)
        folders[place] = tuple(sorted(names))
        pending += [f"{place}/{name}" if place else name for name in sorted(inside, reverse=True)]
    return Tree(root, folders)
