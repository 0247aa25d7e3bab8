"""A folder of one's own: which image belongs to which mask, and which split a pair is in.

    path/images/a.jpg   path/masks/a.png                 one folder, the same stems
    path/Tile 1/images/a.jpg   path/Tile 1/masks/a.png   any number of them, at any depth
    path/train/images/…  path/val/images/…               the folder's name is the split
    path/train.txt  path/val.txt                         or lists say it (`lists.py`)
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import os
from collections.abc import Iterable, Iterator

from configs.schema import Data
from trainer.data.decode import IMAGE_SUFFIXES
from trainer.data.errors import shown
from trainer.data.sources import lists
from trainer.data.sources.headers import check_headers
from trainer.data.sources.pairs import FilePairs, Listing, Pair
from trainer.data.sources.splits import Splits

_DEEPEST = 8
# Beyond this many files without a partner, each is not compared with each.
_MOST_COMPARED = 100
_VALIDATION_FOLDERS = ("val", "valid", "validation")


def open_splits(data: Data) -> Splits:
    """The splits of data.path: files are listed and their headers read, nothing is decoded."""
    root = os.path.expanduser(data.path)
    listing = list_folder(root, data)
    problems = list(listing.problems)
    if not listing.fatal:
        problems += check_headers(root, [*listing.train, *listing.validation], data)
    return Splits(
        train=FilePairs(root, listing.train, data),
        validation=FilePairs(root, listing.validation, data),
        title=shown(data.path),
        problems=tuple(problems),
        fatal=listing.fatal,
        notes=listing.notes,
        advice="--config.data.bad_files=skip leaves such files out; --mode=check looks into every file.",
    )


def list_folder(root: str, data: Data) -> Listing:
    """Pairs and splits of a folder; reads names and lists, opens no image.

    Args:
      root: the folder.
      data: the config's section: validation_fraction and split_seed.
    """
    if not root:
        return Listing(fatal=("No folder is named: --config.data.path=DIRECTORY, which holds images/ and masks/.",))
    root_shown = shown(root)
    if not os.path.isdir(root):
        what = "is a file, not a folder" if os.path.exists(root) else "does not exist"
        return Listing(fatal=(f"{root_shown}: {what} (config.data.path).{_near(root)}",))
    try:
        pairs, problems, notes, places = _pairs(root)
    except OSError as error:
        return Listing(fatal=(f"{shown(error.filename or root)}: cannot be read: {error.strerror}.",))
    if lists.present(root):
        listing = lists.read_lists(root, pairs, problems)
        return dataclasses.replace(listing, notes=(*notes, *listing.notes))
    if not places:
        return Listing(fatal=(_no_places(root),), notes=tuple(notes))
    if not pairs:
        return Listing(problems=tuple(problems), fatal=(_no_pairs(root, places),), notes=tuple(notes))
    train, validation, fatal = _split(sorted(set(pairs.values())), root_shown, data)
    return Listing(tuple(train), tuple(validation), tuple(problems), tuple(fatal), tuple(notes))


def _pairs(root: str) -> tuple[dict[str, Pair], list[str], list[str], list[str]]:
    """Pairs by their key (the path without "images" and without suffix), problems, notes, and the folders found."""
    pairs: dict[str, Pair] = {}
    problems: list[str] = []
    notes: list[str] = []
    places = sorted(_places(root))
    for place in places:
        images, image_trouble, other_images = _by_stem(root, _join(place, "images"))
        masks, mask_trouble, other_masks = _by_stem(root, _join(place, "masks"))
        problems += image_trouble + mask_trouble
        for stem in sorted(images.keys() | masks.keys()):
            if stem in images and stem in masks:
                pairs[_join(place, stem)] = Pair(images[stem], masks[stem])
            elif stem in images:
                hint = _hint(stem, masks, images, other_masks)
                path = os.path.join(root, images[stem])
                problems.append(_alone(path, "an image without a mask", _join(place, "masks"), stem, hint))
            else:
                hint = _hint(stem, images, masks, other_images)
                path = os.path.join(root, masks[stem])
                problems.append(_alone(path, "a mask without an image", _join(place, "images"), stem, hint))
        ignored = [*other_images, *other_masks]
        if ignored:
            first = ", ".join(shown(path) for path in ignored[:3]) + (", …" if ignored[3:] else "")
            files = "1 file without an image's suffix is" if len(ignored) == 1 else (
                f"{len(ignored)} files without an image's suffix are"
            )  # fmt: skip
            notes.append(f"{files} ignored: {first}")
    return pairs, problems, notes, places


def _places(root: str) -> Iterator[str]:
    """Folders below root, and root itself, that hold both images/ and masks/ (or one of them, to complain about)."""
    pending, seen = [""], set()
    while pending:
        place = pending.pop()
        here = os.path.join(root, place)
        real = os.path.realpath(here)
        if real in seen or place.count("/") > _DEEPEST:
            continue
        seen.add(real)
        folders = [entry.name for entry in os.scandir(here) if not entry.name.startswith(".") and entry.is_dir()]
        if "images" in folders or "masks" in folders:
            yield place
        pending += [_join(place, name) for name in folders if name not in ("images", "masks")]


def _by_stem(root: str, folder: str) -> tuple[dict[str, str], list[str], list[str]]:
    """Image files below a folder by their path in it without suffix; stems that two files share; other files."""
    found: dict[str, str] = {}
    problems: list[str] = []
    other: list[str] = []
    top = os.path.join(root, folder)
    for here, folders, files in os.walk(top, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        inside = os.path.relpath(here, top).replace(os.sep, "/")
        for name in sorted(files):
            if name.startswith(".") or name in ("Thumbs.db", "desktop.ini"):
                continue
            path = _join(folder, name if inside == "." else f"{inside}/{name}")
            stem, suffix = os.path.splitext(path[len(folder) + 1 :])
            full = os.path.join(root, path)
            if suffix.lower() not in IMAGE_SUFFIXES:
                other.append(path)
            elif stem in found:
                problems.append(f"{shown(full)}: has the same stem as {shown(found[stem])}; which of them is meant?")
            elif not os.path.isfile(full):
                problems.append(f"{shown(full)}: is not a regular file{_link(full)}.")
            else:
                found[stem] = path
    return found, problems, other


def _alone(path: str, what: str, folder: str, stem: str, hint: str) -> str:
    return f"{shown(path)}: {what}: {shown(folder)}/ has no {shown(stem)!r}{hint}."


def _hint(stem: str, partners: dict[str, str], own: dict[str, str], ignored: list[str]) -> str:
    """What the missing partner may be called instead: a partner without one itself, or a file that was ignored."""
    for path in ignored:
        if os.path.splitext(os.path.basename(path))[0] == os.path.basename(stem):
            return f" ({shown(path)} has no image's suffix)"
    loose = partners.keys() - own.keys()
    if len(loose) > _MOST_COMPARED:
        return ""
    near = sorted(other for other in loose if stem in other or other in stem)
    near = near or difflib.get_close_matches(stem, loose, 1)
    return f" (there is {shown(partners[near[0]])})" if near else ""


def _split(pairs: list[Pair], root: str, data: Data) -> tuple[list[Pair], list[Pair], list[str]]:
    tops = {pair.image.split("/", 1)[0] for pair in pairs}
    named = [name for name in _VALIDATION_FOLDERS if name in tops]
    if named and tops <= {"train", *_VALIDATION_FOLDERS, "test"}:
        train = [pair for pair in pairs if pair.image.startswith("train/")]
        validation = [pair for pair in pairs if pair.image.startswith(named[0] + "/")]
        fatal = [] if train else [f"{root}: has {named[0]}/ but no train/ with pairs of images and masks."]
        return train, validation, fatal
    if len(pairs) < 2:
        return pairs, [], [
            f"{root}: holds {len(pairs)} pair of image and mask; one is needed to train on and another to evaluate."
        ]
    count = min(max(round(len(pairs) * data.validation_fraction), 1), len(pairs) - 1)
    # By a hash of the name: files added later leave the others on the side where they are.
    ranked = sorted(pairs, key=lambda pair: _rank(pair, data.split_seed))
    held_out = set(ranked[:count])
    return [p for p in pairs if p not in held_out], [p for p in pairs if p in held_out], []


def _rank(pair: Pair, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:".encode() + pair.image.encode("utf-8", "surrogateescape")).digest()


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _link(path: str) -> str:
    return f" (a link to {shown(os.readlink(path))}, which is not there)" if os.path.islink(path) else ""


def _near(path: str) -> str:
    parent, name = os.path.split(os.path.abspath(path))
    if not os.path.isdir(parent):
        return ""
    near = difflib.get_close_matches(name, os.listdir(parent), 1)
    return f" Did you mean {shown(os.path.join(os.path.dirname(path), near[0]))}?" if near else ""


def _no_places(root: str) -> str:
    inside = sorted(os.listdir(root))
    first = ", ".join(shown(name) for name in inside[:6]) + (", …" if inside[6:] else "")
    holds = f"holds {first}" if inside else "is empty"
    return (
        f"{shown(root)}: has no images/ and masks/, here or in any folder below; it {holds}.\n"
        "  Put images/a.jpg and masks/a.png there with the same stems, or write train.txt and val.txt with lines\n"
        "  image path TAB mask path."
    )


def _no_pairs(root: str, places: Iterable[str]) -> str:
    parts = []
    for place in places:
        for kind in ("images", "masks"):
            folder = os.path.join(root, place, kind)
            if not os.path.isdir(folder):
                parts.append(f"{shown(folder)}/ does not exist")
            elif not _by_stem(root, _join(place, kind))[0]:
                parts.append(f"{shown(folder)}/ holds no image")
    why = "; ".join(parts) if parts else "no image and mask have the same stem"
    return f"{shown(root)}: no pair of an image and a mask: {why}."
