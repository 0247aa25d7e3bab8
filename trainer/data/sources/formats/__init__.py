"""The formats that people's data come in: what each is recognised by, and the source that reads it.

A format is a file here, named as in data.source, with `TITLE`, `recognise(tree) -> str` (by what; "" where it is not
there) and `open_splits(data) -> Splits`, and its name below.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from trainer.data.sources.formats.tree import Tree

# With a mask file for each image, in a layout of its own.
MASK_FILES = ("voc", "cityscapes", "ade20k", "ade20k_full", "nnunet", "camvid", "coco_stuff", "masks_beside")
# With descriptions from which the mask is drawn, or in containers.
ANNOTATIONS = (
    "coco",
    "coco_panoptic",
    "labelme",
    "label_studio",
    "cvat",
    "yolo",
    "supervisely",
    "via",
    "huggingface",
)
FORMATS = {name: f"{__name__}.{name}" for name in (*MASK_FILES, *ANNOTATIONS)}


def format_of(name: str) -> ModuleType:
    """The module of a format."""
    return importlib.import_module(FORMATS[name])


def recognised(tree: Tree) -> dict[str, str]:
    """Name of each format that a folder holds -> what it was recognised by."""
    found = {name: format_of(name).recognise(tree) for name in FORMATS}
    return {name: by for name, by in found.items() if by}
