"""Which image belongs to which mask: folders of both below a root, at any depth, and names shared by their files."""

from __future__ import annotations

import collections
import difflib
import os
from collections.abc import Iterator, Sequence

from trainer.data.errors import shown
from trainer.data.images.files import IMAGE_SUFFIXES
from trainer.data.sources import names
from trainer.data.sources.folder.class_files import by_class
from trainer.data.sources.pairs import Pair

_DEEPEST = 8
# With more files without a partner than this, they are not all compared with each other.
_MOST_COMPARED = 100
_ALONE = {"an image without a mask": "images without masks", "a mask without an image": "masks without images"}
# Up to this many files with the same fault are named one by one.
_MOST_ALIKE = 3


def pairs_below(root: str, classes: Sequence[str] = ()) -> tuple[dict[str, Pair], list[str], list[str], list[str]]:
    """Pairs by their key (the path without "images" and without suffix), problems, notes, and the folders found."""
    pairs: dict[str, Pair] = {}
    problems: list[str] = []
    notes: list[str] = []
    places = sorted(_places(root))
    if not places:
        return *_flat(root), []
    for place, image_folder, mask_folder in places:
        images, image_trouble, other_images = by_stem(root, join(place, image_folder))
        masks, mask_trouble, other_masks = by_stem(root, join(place, mask_folder))
        masks, dropped = _of_one_kind(masks)
        if not images.keys() & masks.keys():
            images, masks = _below_a_folder_of_their_own(images), _below_a_folder_of_their_own(masks)
        problems += image_trouble + mask_trouble
        matched, rest, note = _matched(images, masks, classes)
        notes += [note] if note and note not in notes else []
        pairs |= {join(place, stem): pair for stem, pair in matched.items()}
        # Of many only the first is shown with a hint, and each hint needs a comparison with all others.
        for number, stem in enumerate(rest[0]):
            hint = _hint(stem, masks, images, other_masks) if number < _MOST_ALIKE else ""
            path = os.path.join(root, images[stem])
            problems.append(_alone(path, "an image without a mask", join(place, mask_folder), stem, hint))
        for number, stem in enumerate(rest[1]):
            hint = _hint(stem, images, masks, other_images) if number < _MOST_ALIKE else ""
            path = os.path.join(root, masks[stem])
            problems.append(_alone(path, "a mask without an image", join(place, image_folder), stem, hint))
        if dropped:
            notes.append(f"{len(dropped)} files of other kinds beside the label ids are not read: {dropped[0]}, …")
        ignored = [*other_images, *other_masks]
        if ignored:
            first = ", ".join(shown(path) for path in ignored[:3]) + (", …" if ignored[3:] else "")
            files = (
                "1 file without an image's suffix is"
                if len(ignored) == 1
                else (f"{len(ignored)} files without an image's suffix are")
            )
            notes.append(f"{files} ignored: {first}")
    named = {(images, masks) for _, images, masks in places} - {("images", "masks")}
    if pairs and named:
        read = ", ".join(f"{shown(images)}/ with masks in {shown(masks)}/" for images, masks in sorted(named)[:4])
        notes.append(f"recognised: images in {read}")
    return pairs, _together(problems), notes, [place for place, _, _ in places]


def _matched(images: dict[str, str], masks: dict[str, str], classes: Sequence[str] = ()):
    """Pairs by the image's stem; the stems of images and of masks without a partner; a note on how they were matched.

    Files with the same stem belong together; then those whose stems are equal without "img_", "_mask" and the like;
    then several masks of one image, one for each class or object.
    """
    if not images.keys() & masks.keys():
        pairs = by_class(images, masks, classes)
        if pairs:
            read = {path for pair in pairs.values() for path in (pair.mask, *pair.more)}
            first = next(iter(pairs.values()))
            rest = [stem for stem in sorted(images) if stem not in pairs]
            kind = "class" if first.kinds else "object (they are united)"
            note = f"recognised: a mask file for each {kind}, {shown(first.image)} with {shown(first.mask)}, …"
            return pairs, (rest, [stem for stem, path in sorted(masks.items()) if path not in read]), note
    pairs = {stem: Pair(images[stem], masks[stem]) for stem in images.keys() & masks.keys()}
    loose = [stem for stem in sorted(images) if stem not in pairs]
    free = [stem for stem in sorted(masks) if stem not in pairs]
    note = ""
    if not loose or not free:
        return pairs, (loose, free), note
    by_core, objects = collections.defaultdict(list), collections.defaultdict(list)
    for stem in free:
        by_core[names.core(stem)].append(stem)
        objects[names.object_core(stem)].append(stem)
    cores = collections.Counter(names.core(stem) for stem in loose)
    used: set[str] = set()
    for stem in loose:
        key = names.core(stem)
        alike, parts = by_core[key], objects[key]
        found = parts if set(alike) <= set(parts) else alike if len(alike) == 1 else []
        if found and cores[key] == 1 and used.isdisjoint(found):
            pairs[stem] = Pair(images[stem], masks[found[0]], tuple(masks[other] for other in found[1:]))
            used.update(found)
            note = note or f"recognised: {shown(images[stem])} has its mask in {shown(masks[found[0]])}"
    if len(images) == 1 and not pairs and len(free) > 1:
        # A folder for each image and a mask for each object, as in the Data Science Bowl.
        pairs[loose[0]] = Pair(images[loose[0]], masks[free[0]], tuple(masks[stem] for stem in free[1:]))
        used.update(free)
        note = "recognised: a folder for each image, with one mask for each of its objects"
    if any(pair.more for pair in pairs.values()) and "one mask" not in note:
        note += "; several masks of one image are its objects, and are united"
    return pairs, ([s for s in loose if s not in pairs], [s for s in free if s not in used]), note


def _below_a_folder_of_their_own(files: dict[str, str]) -> dict[str, str]:
    """The files by their stems without folders common to all: annotations/trimaps/a.png is "a"."""
    folders = [os.path.dirname(stem) for stem in files]
    shared = os.path.commonpath(folders) if folders and all(folders) else ""
    return (
        {os.path.relpath(stem, shared).replace(os.sep, "/"): path for stem, path in files.items()} if shared else files
    )


def _of_one_kind(masks: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """Of Cityscapes' files for an image the ones with label ids, if there are any; and the others' names."""
    for ending in ("_labeltrainids", "_labelids"):
        kept = {stem: path for stem, path in masks.items() if stem.lower().endswith(ending)}
        if kept:
            return kept, [shown(path) for stem, path in masks.items() if stem not in kept]
    return masks, []


def _together(problems: list[str]) -> list[str]:
    """Many files with the same fault become one problem."""
    kinds = collections.defaultdict(list)
    for problem in problems:
        kinds[next((kind for kind in _ALONE if f": {kind}: " in problem), problem)].append(problem)
    made = []
    for kind, found in kinds.items():
        if len(found) <= _MOST_ALIKE:
            made += found
            continue
        files = ", ".join(text.split(": ", 1)[0] for text in found[:3])
        _, kind_and_folder = found[0].split(": ", 1)
        made.append(f"{len(found)} {_ALONE[kind]}: {files}, …\n  The first: {kind_and_folder}")
    return made


def _flat(root: str) -> tuple[dict[str, Pair], list[str], list[str]]:
    """Images and masks side by side in one folder, distinguished by their names: 1.png with 1_mask.png."""
    files, problems, _ = by_stem(root, "")
    masks = {stem: path for stem, path in files.items() if names.is_called_mask(stem)}
    images = {stem: path for stem, path in files.items() if stem not in masks}
    if not masks or not images:
        return {}, problems, []
    pairs, (loose, free), note = _matched(images, masks)
    if len(pairs) < 2:
        return {}, problems, []
    problems += [_alone(os.path.join(root, images[s]), "an image without a mask", root, s, "") for s in loose]
    problems += [_alone(os.path.join(root, masks[s]), "a mask without an image", root, s, "") for s in free]
    return pairs, _together(problems), [note]


def _places(root: str) -> Iterator[tuple[str, str, str]]:
    """Folders from the root down, with the folders of images and of masks in them.

    One of these without the other is included, too, if it is called just "images" or "masks", for a message.
    """
    pending, seen = [""], set()
    while pending:
        place = pending.pop()
        here = os.path.join(root, place)
        real = os.path.realpath(here)
        if real in seen or place.count("/") > _DEEPEST:
            continue
        seen.add(real)
        folders = [entry.name for entry in os.scandir(here) if not entry.name.startswith(".") and entry.is_dir()]
        images, masks = (names.preferred(folders, kind) for kind in ("images", "masks"))
        if (images and masks) or images == "images" or masks == "masks":
            yield place, images or "images", masks or "masks"
        else:
            images = masks = None
        pending += [join(place, name) for name in folders if name not in (images, masks)]


def by_stem(root: str, folder: str) -> tuple[dict[str, str], list[str], list[str]]:
    """Image files below a folder by their path in it without suffix; stems shared by two files; other files."""
    found: dict[str, str] = {}
    problems: list[str] = []
    other: list[str] = []
    seen: set[str] = set()  # linked folders are followed, and may form a cycle
    top = os.path.join(root, folder)
    for here, folders, files in os.walk(top, followlinks=True):
        real = os.path.realpath(here)
        folders[:] = [] if real in seen else sorted(name for name in folders if not name.startswith("."))
        if real in seen:
            continue
        seen.add(real)
        inside = os.path.relpath(here, top).replace(os.sep, "/")
        for name in sorted(files):
            if name.startswith(".") or name in ("Thumbs.db", "desktop.ini"):
                continue
            path = join(folder, name if inside == "." else f"{inside}/{name}")
            stem, suffix = os.path.splitext(path[len(folder) + 1 :] if folder else path)
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
    """A possible name of the missing partner: a file that lacks one itself, or that was ignored."""
    for path in ignored:
        if os.path.splitext(os.path.basename(path))[0] == os.path.basename(stem):
            return f" ({shown(path)} has no image's suffix)"
    loose = partners.keys() - own.keys()
    if len(loose) > _MOST_COMPARED:
        return ""
    near = sorted(other for other in loose if stem in other or other in stem)
    near = near or difflib.get_close_matches(stem, loose, 1)
    return f" (there is {shown(partners[near[0]])})" if near else ""


def join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _link(path: str) -> str:
    return f" (a link to {shown(os.readlink(path))}, which is not there)" if os.path.islink(path) else ""
