"""Names of folders and files: which hold images and which masks, their split, and which files belong together."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

_IMAGES = "images image imgs img jpegimages photos pictures leftimg8bit originals inputs rgb imagestr imagests".split()
_MASKS = (
    "masks mask labels label annotations annotation annots annot gt gts groundtruth ground_truth gtfine "
    "segmentationclass segmentations segmentation segs seg targets msk labelstr labelsts".split()
)
_SPLITS = {
    "train": "train",
    "training": "train",
    "imagestr": "train",
    "labelstr": "train",
    "tr": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
    "imagests": "test",
    "labelsts": "test",
}

# Words before or after the name shared by an image and its mask.
_BEFORE = re.compile(r"(?i)^(img|image|im|photo|mask|label|lbl|gt|seg|target|annotation)s?[_\-. ]+")
_BEHIND = re.compile(
    r"(?i)[_\-. ]*(?:(?<=[_\-. ])|(?<=\d))(img|image|photo|rgb|leftimg8bit|mask|label|lbl|gt|seg|segmentation|"
    r"annotation|target|groundtruth|ground_truth|gtfine_label(?:train)?ids|gtfine|manual\d*|l)s?$"
)


def kind_of_folder(name: str) -> str:
    """ "images", "masks" or "", by the folder's name."""
    plain = re.sub(r"[\s\-]+", "_", name.strip().lower())
    return "images" if plain in _IMAGES else "masks" if plain in _MASKS else ""


def preferred(names: Iterable[str], kind: str) -> str | None:
    """The folder of a kind: the one with exactly that name, or the first in the list of usual names."""
    usual = _IMAGES if kind == "images" else _MASKS
    found = [name for name in names if kind_of_folder(name) == kind]
    return min(
        found, key=lambda name: (name != kind, usual.index(name.strip().lower().replace(" ", "_")), name), default=None
    )


def split_of(path: str) -> str:
    """ "train", "validation", "test", or "" where no folder of the path is named after a split."""
    for part in reversed(path.split("/")[:-1]):
        plain = part.strip().lower()
        # A year or number after it: "train2017".
        word = plain.rstrip("0123456789").rstrip("_- ")
        if word in _SPLITS:
            return _SPLITS[word]
        if plain.startswith(("heldout", "held_out", "held-out")):
            return "test"
    return ""


def core(stem: str) -> str:
    """A stem without the words that distinguish images and masks: "img_007" and "mask_007" share "007"."""
    folder, name = os.path.split(stem)
    short = _BEHIND.sub("", name)
    short = _BEFORE.sub("", short or name)
    return f"{folder}/{short or name}" if folder else short or name


def object_core(stem: str) -> str:
    """As `core`, for one of several masks of an image: "benign (1)_mask_2" belongs to "benign (1)"."""
    return core(re.sub(r"(?i)((?:mask|label|object|instance)s?)[_\-. ]*\d+$", r"\1", stem))


def is_called_mask(stem: str) -> bool:
    """Whether a file's own name says that it is a mask."""
    name = os.path.basename(stem)
    behind = re.search(r"(?i)(^|[_\-. ])(mask|label|lbl|gt|seg|annotation|segmentation)s?([_\-. ]?\d+)?$", name)
    return bool(behind or re.match(r"(?i)(mask|label|gt|seg)s?[_\-. ]", name))
