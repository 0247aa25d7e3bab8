"""A folder of your own: which image belongs to which mask, and which split a pair is in.

path/images/a.jpg   path/masks/a.png                 one folder, the same stems
path/Tile 1/images/a.jpg   path/Tile 1/masks/a.png   any number of them, at any depth
path/train/images/…  path/val/images/…               the folder's name is the split
path/train.txt  path/val.txt                         or lists say it (`lists.py`)
"""

from __future__ import annotations

import collections
import dataclasses
import difflib
import os
from collections.abc import Iterable, Iterator, Sequence

from configs.schema import Data
from trainer.data.errors import shown
from trainer.data.image_files import IMAGE_SUFFIXES
from trainer.data.sources import lists, names, slices
from trainer.data.sources.class_files import by_class
from trainer.data.sources.formats import geotiff
from trainer.data.sources.formats.class_tables import above, find_table
from trainer.data.sources.formats.maskfiles import Placed, says_masks
from trainer.data.sources.formats.named import fields_of_table
from trainer.data.sources.formats.tree import Tree
from trainer.data.sources.headers import check_headers
from trainer.data.sources.holding_out import held_out
from trainer.data.sources.pairs import FilePairs, Listing, Pair
from trainer.data.sources.splits import Splits

_DEEPEST = 8
_PACKED = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar", ".bz2", ".xz")
# Beyond this many files without a partner, each is not compared with each.
_MOST_COMPARED = 100
_ALONE = {"an image without a mask": "images without masks", "a mask without an image": "masks without images"}
# So many files with the same fault are named one by one.
_MOST_ALIKE = 3


def open_pairs(data: Data) -> Splits:
    """The splits of a folder of image and mask files: they are listed and their headers read, nothing is decoded."""
    root, listing = list_path(data)
    problems, fields, notes, reader = list(listing.problems), {}, listing.notes, FilePairs
    if not listing.fatal:
        pairs = [*listing.train, *listing.validation]
        problems += check_headers(root, pairs, data)
        reader, fields, misplaced, said = geotiff.look(root, pairs, data)
        problems += misplaced
        more, named = _named_by_table(root, pairs, data)
        fields, notes = {**fields, **more}, (*notes, *said, *named)
    if data.pages == "slices":
        listing, more = slices.of_listing(root, listing, data)
        problems += more
        notes = (*notes, *listing.notes[-1:])
    return Splits(
        train=reader(root, listing.train, data),
        validation=reader(root, listing.validation, data),
        test=reader(root, listing.test, data) if listing.test else None,
        named=listing.named,
        classes=fields.get("classes", ()),
        title=shown(data.path),
        problems=tuple(problems),
        fatal=listing.fatal,
        notes=notes,
        fields=fields,
        advice="--config.data.bad_files=skip leaves such files out; --mode=check looks into every file.",
    )


def _named_by_table(root: str, pairs: Sequence[Pair], data: Data):
    """Fields from a file of classes that lies in the folder, and notes."""
    if says_masks(data) or not pairs or any(pair.kinds or pair.more for pair in pairs):
        return {}, []
    places = above(pairs[0].image)
    table = find_table(
        Tree(root, {place: tuple(sorted(os.listdir(os.path.join(root, place)))) for place in places}), places
    )
    if table is None:
        return {}, []
    return fields_of_table(Tree(root, {}), table, [Placed(pair.image, pair.mask) for pair in pairs], data)


def list_path(data: Data) -> tuple[str, Listing]:
    """The folder that data.path names, or that holds the list it names, and what is in it."""
    path = os.path.expanduser(data.path)
    if os.path.isfile(path) and path.lower().endswith(lists.SUFFIXES):
        root, name = os.path.split(path)
        root = root or "."
        pairs, problems, _, _ = _pairs(root, data.classes)
        chosen, problems, fatal = lists.read_list(root, name, pairs, problems)
        if fatal:
            return root, Listing(problems=tuple(problems), fatal=fatal)
        train, validation, fatal = _halved(sorted(chosen), shown(path), data)
        return root, Listing(tuple(train), tuple(validation), problems=tuple(problems), fatal=tuple(fatal))
    return path, list_folder(path, data)


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
        packed = " Unpack it, and name the folder." if root.lower().endswith(_PACKED) else _near(root)
        return Listing(fatal=(f"{root_shown}: {what} (config.data.path).{packed}",))
    try:
        pairs, problems, notes, places = _pairs(root, data.classes)
    except OSError as error:
        return Listing(fatal=(f"{shown(error.filename or root)}: cannot be read: {error.strerror}.",))
    if lists.present(root, data.split != "auto"):
        listing = lists.read_lists(root, pairs, problems, insist=data.split == "auto")
        return dataclasses.replace(listing, notes=(*notes, *listing.notes))
    held, listed, trouble = lists.read_test(root, pairs, problems)
    if listed:
        pairs = {key: pair for key, pair in pairs.items() if pair not in held}
        problems = [*problems, *trouble]
        notes = [*notes, f"{len(held)} pairs of {listed} are neither trained on nor evaluated"]
    if not places and not pairs:
        return Listing(fatal=(_no_places(root),), notes=tuple(notes))
    if not pairs:
        return Listing(problems=tuple(problems), fatal=(_no_pairs(root, places),), notes=tuple(notes))
    by_name = sorted(set(pairs.values()), key=lambda pair: (pair.image, pair.mask, pair.more))
    return _split(
        by_name,
        root_shown,
        data,
        Listing(test=held, problems=tuple(problems), notes=tuple(notes)),
    )


def _pairs(root: str, classes: Sequence[str] = ()) -> tuple[dict[str, Pair], list[str], list[str], list[str]]:
    """Pairs by their key (the path without "images" and without suffix), problems, notes, and the folders found."""
    pairs: dict[str, Pair] = {}
    problems: list[str] = []
    notes: list[str] = []
    places = sorted(_places(root))
    if not places:
        return *_flat(root), []
    for place, image_folder, mask_folder in places:
        images, image_trouble, other_images = _by_stem(root, _join(place, image_folder))
        masks, mask_trouble, other_masks = _by_stem(root, _join(place, mask_folder))
        masks, dropped = _of_one_kind(masks)
        if not images.keys() & masks.keys():
            images, masks = _below_a_folder_of_their_own(images), _below_a_folder_of_their_own(masks)
        problems += image_trouble + mask_trouble
        matched, rest, note = _matched(images, masks, classes)
        notes += [note] if note and note not in notes else []
        pairs |= {_join(place, stem): pair for stem, pair in matched.items()}
        # Of many the first alone is shown with a hint, and each is compared with all others.
        for number, stem in enumerate(rest[0]):
            hint = _hint(stem, masks, images, other_masks) if number < _MOST_ALIKE else ""
            path = os.path.join(root, images[stem])
            problems.append(_alone(path, "an image without a mask", _join(place, mask_folder), stem, hint))
        for number, stem in enumerate(rest[1]):
            hint = _hint(stem, images, masks, other_images) if number < _MOST_ALIKE else ""
            path = os.path.join(root, masks[stem])
            problems.append(_alone(path, "a mask without an image", _join(place, image_folder), stem, hint))
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

    What has the same stem belongs together; of the others, what has the same once "img_", "_mask" and the like are
    taken away; and then several masks of one image, one a class or one an object.
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
        # One folder an image, one mask an object, as in the Data Science Bowl.
        pairs[loose[0]] = Pair(images[loose[0]], masks[free[0]], tuple(masks[stem] for stem in free[1:]))
        used.update(free)
        note = "recognised: a folder for each image, with one mask for each of its objects"
    if any(pair.more for pair in pairs.values()) and "one mask" not in note:
        note += "; several masks of one image are its objects, and are united"
    return pairs, ([s for s in loose if s not in pairs], [s for s in free if s not in used]), note


def _below_a_folder_of_their_own(files: dict[str, str]) -> dict[str, str]:
    """The files by their stems without the folders that all of them share: annotations/trimaps/a.png is "a"."""
    folders = [os.path.dirname(stem) for stem in files]
    shared = os.path.commonpath(folders) if folders and all(folders) else ""
    return (
        {os.path.relpath(stem, shared).replace(os.sep, "/"): path for stem, path in files.items()} if shared else files
    )


def _of_one_kind(masks: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """Of Cityscapes' files for an image those with label ids, where there are any; and the others' names."""
    for ending in ("_labeltrainids", "_labelids"):
        kept = {stem: path for stem, path in masks.items() if stem.lower().endswith(ending)}
        if kept:
            return kept, [shown(path) for stem, path in masks.items() if stem not in kept]
    return masks, []


def _together(problems: list[str]) -> list[str]:
    """Many files with one fault are one finding."""
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
    """Images and masks side by side in one folder, told apart by their names: 1.png with 1_mask.png."""
    files, problems, _ = _by_stem(root, "")
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
    """Folders below root, and root itself, with the folders of images and of masks in them.

    One of these alone is given, too, where it is called just "images" or "masks": to complain about.
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
        pending += [_join(place, name) for name in folders if name not in (images, masks)]


def _by_stem(root: str, folder: str) -> tuple[dict[str, str], list[str], list[str]]:
    """Image files below a folder by their path in it without suffix; stems that two files share; other files."""
    found: dict[str, str] = {}
    problems: list[str] = []
    other: list[str] = []
    seen: set[str] = set()  # linked folders are followed, and may lead round in a circle
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
            path = _join(folder, name if inside == "." else f"{inside}/{name}")
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


def _split(pairs: list[Pair], root: str, data: Data, listing: Listing) -> Listing:
    """The listing with the pairs of each split, what is wrong with the split, and notes."""
    by_split: dict[str, list[Pair]] = collections.defaultdict(list)
    for pair in pairs:
        by_split[names.split_of(pair.image) or names.split_of(pair.mask)].append(pair)
    named = tuple(split for split in ("train", "validation", "test") if by_split[split])
    train, validation, test = (by_split[split] for split in ("train", "validation", "test"))
    test = [*listing.test, *test]
    fatal: list[str] = []
    notes = list(listing.notes)
    if test and train and data.split == "auto":
        notes.append(f"{len(test)} pairs of a test split are neither trained on nor evaluated")
    if train and validation:
        if by_split[""]:
            first = by_split[""][0].name
            notes.append(f"{len(by_split[''])} pairs in no folder of a split are not used: {first}, …")
    elif validation and by_split[""]:
        train = by_split[""]
        notes.append(f"{len(train)} pairs in no folder of a split are trained on: {train[0].name}, …")
    elif validation:
        folder = next(part for part in validation[0].image.split("/") if names.split_of(f"{part}/x"))
        fatal.append(f"{root}: has {folder}/ but no train/ with pairs of images and masks.")
    else:
        pool = train or by_split[""]
        if data.split == "auto" and not pool:
            pool, test, named = test, [], ()
        train, validation, fatal = _halved(sorted(pool), root, data)
    return dataclasses.replace(
        listing,
        train=tuple(train),
        validation=tuple(validation),
        test=tuple(test),
        named=named,
        fatal=tuple(fatal),
        notes=tuple(notes),
    )


def _halved(pairs: list[Pair], root: str, data: Data) -> tuple[list[Pair], list[Pair], list[str]]:
    """Training and validation pairs of those that come without a split, and what is wrong with that."""
    if len(pairs) < 2:
        few = f"{root}: holds {len(pairs)} pair of image and mask; one is needed to train on and another to evaluate."
        return pairs, [], [few]
    chosen = held_out([pair.image for pair in pairs], data)
    kept = [pair for index, pair in enumerate(pairs) if index not in chosen]
    return kept, [pairs[index] for index in sorted(chosen)], []


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
    if any(name.lower().endswith(_PACKED) for name in inside):
        holds += "; archives have to be unpacked"
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
    return (
        f"{shown(root)}: no pair of an image and a mask: {why}.\n"
        "  For files that lie otherwise write train.txt and val.txt there with lines\n  image path TAB mask path."
    )
