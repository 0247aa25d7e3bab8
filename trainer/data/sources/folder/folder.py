"""A folder of your own: its pairs of images and masks (`pairing.py`), and which split a pair is in.

path/images/a.jpg   path/masks/a.png                 one folder, the same stems
path/Tile 1/images/a.jpg   path/Tile 1/masks/a.png   any number of them, at any depth
path/train/images/…  path/val/images/…               the folder's name is the split
path/train.txt  path/val.txt                         or lists define it (`lists.py`)
"""

from __future__ import annotations

import collections
import dataclasses
import difflib
import os
from collections.abc import Iterable, Sequence

from configs.schema import Data
from trainer.data.errors import shown
from trainer.data.sources import names
from trainer.data.sources.folder import lists, slices
from trainer.data.sources.folder.pairing import by_stem, join, pairs_below
from trainer.data.sources.formats import geotiff
from trainer.data.sources.formats.class_names import fields_of_table
from trainer.data.sources.formats.class_tables import above, find_table
from trainer.data.sources.formats.mask_files import Placed, says_masks
from trainer.data.sources.formats.tree import Tree
from trainer.data.sources.headers import check_headers
from trainer.data.sources.pairs import FilePairs, Listing, Pair
from trainer.data.sources.splits import Splits
from trainer.data.sources.splitting import held_out

_PACKED = (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar", ".bz2", ".xz")


def open_pairs(data: Data) -> Splits:
    """The splits of a folder of image and mask files: they are listed and their headers read, nothing is decoded."""
    root, listing = list_path(data)
    problems, fields, notes, reader = list(listing.problems), {}, listing.notes, FilePairs
    if not listing.fatal:
        pairs = [*listing.train, *listing.validation]
        problems += check_headers(root, pairs, data)
        reader, fields, misplaced, remarks = geotiff.look(root, pairs, data)
        problems += misplaced
        more, named = _named_by_table(root, pairs, data)
        fields, notes = {**fields, **more}, (*notes, *remarks, *named)
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
    """Fields from a file of classes in the folder, and notes."""
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
    """The folder that data.path names, or that of the list it names, and its contents."""
    path = os.path.expanduser(data.path)
    if os.path.isfile(path) and path.lower().endswith(lists.SUFFIXES):
        root, name = os.path.split(path)
        root = root or "."
        pairs, problems, _, _ = pairs_below(root, data.classes)
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
        pairs, problems, notes, places = pairs_below(root, data.classes)
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


def _split(pairs: list[Pair], root: str, data: Data, listing: Listing) -> Listing:
    """The listing with the pairs of each split, the split's problems, and notes."""
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
    """Training and validation pairs of those that come without a split, and the problems."""
    if len(pairs) < 2:
        few = f"{root}: holds {len(pairs)} pair of image and mask; one is needed to train on and another to evaluate."
        return pairs, [], [few]
    chosen = held_out([pair.image for pair in pairs], data)
    kept = [pair for index, pair in enumerate(pairs) if index not in chosen]
    return kept, [pairs[index] for index in sorted(chosen)], []


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
            elif not by_stem(root, join(place, kind))[0]:
                parts.append(f"{shown(folder)}/ holds no image")
    why = "; ".join(parts) if parts else "no image and mask have the same stem"
    return (
        f"{shown(root)}: no pair of an image and a mask: {why}.\n"
        "  For files that lie otherwise write train.txt and val.txt there with lines\n  image path TAB mask path."
    )
