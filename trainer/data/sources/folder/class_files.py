"""A mask file for each class of an image: classes that may overlap, distinguished by folders or by the files' names.

masks/kidney/a.png  masks/tumour/a.png      a folder for each class
masks/a_kidney.png  masks/a_tumour.png      the class after the image's name, or before it
masks/a/kidney.png  masks/a/tumour.png      a folder for each image
"""

from __future__ import annotations

import collections
import os
import re
from collections.abc import Mapping, Sequence

from trainer.data.sources import names
from trainer.data.sources.pairs import Pair

# A number after a name counts objects, and is not a class.
_NUMBER = re.compile(r"^\d*$")
# Words that only say that it is a mask.
_GENERAL = {
    "mask",
    "masks",
    "label",
    "labels",
    "gt",
    "seg",
    "segmentation",
    "annotation",
    "object",
    "instance",
    "image",
}


def by_class(images: Mapping[str, str], masks: Mapping[str, str], classes: Sequence[str]) -> dict[str, Pair]:
    """Pairs by the image's stem, where the masks' names consist of an image's and a class's; otherwise empty.

    Where classes differ only by a number ("cell1", "cell2") they are objects of one kind, and are united.

    Args:
      images, masks: stem (the path below their folder without suffix) -> path.
      classes: names of the classes; if empty, any two or more names found for most images.
    """
    found: dict[str, dict[str, str]] = collections.defaultdict(dict)
    stems = {**{names.core(stem): stem for stem in images}, **{stem: stem for stem in images}}
    for mask in masks:
        for image, name in _readings(mask):
            stem = stems.get(image)
            if stem is not None and not _NUMBER.match(name) and name.lower() not in _GENERAL:
                known = {c.casefold(): c for c in classes}.get(name.casefold()) if classes else name
                if known is not None:
                    found[stem][known] = masks[mask]
                    break
    used = sum(len(of_class) for of_class in found.values())
    kinds = sorted({name for of_class in found.values() for name in of_class})
    # A name or two may look so by chance; with classes every mask does.
    words = {re.sub(r"[_\-. ]*\d+$", "", kind) for kind in kinds}
    objects = len(words) == 1 and not classes
    if len(kinds) < 2 or used < 0.9 * len(masks) or (len(words) == 1 and classes):
        return {}
    if not objects and not classes and len(kinds) > max(2, used // 2):
        return {}
    ordered = [name for name in classes if name in kinds] or kinds
    return {
        stem: _pair(images[stem], [(name, of_class[name]) for name in ordered if name in of_class], objects)
        for stem, of_class in found.items()
    }


def _pair(image: str, masks: Sequence[tuple[str, str]], objects: bool) -> Pair:
    kinds, paths = zip(*masks, strict=True)
    return Pair(image, paths[0], paths[1:], () if objects else kinds)


def _readings(mask: str):
    """(an image's stem, a class's name) of which a mask's stem may consist, the likeliest first."""
    folder, base = os.path.split(mask)
    if folder:
        outer, inner = os.path.split(folder)
        yield (f"{outer}/{base}" if outer else base), inner  # masks/kidney/a, masks/train/kidney/a
        yield folder, base  # masks/a/kidney
        first, _, rest = folder.partition("/")
        yield (f"{rest}/{base}" if rest else base), first  # masks/kidney/train/a
    for cut in re.finditer(r"[_\-. ]+", base):
        before, behind = base[: cut.start()], base[cut.end() :]
        if before and behind:
            prefix = f"{folder}/" if folder else ""
            yield prefix + before, _without_words(behind)
            yield prefix + behind, _without_words(before)


def _without_words(name: str) -> str:
    """ "kidney" of "mask_kidney"."""
    words = [word for word in re.split(r"[_\-. ]+", name) if word]
    kept = [word for word in words if word.lower() not in _GENERAL]
    return "_".join(kept) if kept else name
