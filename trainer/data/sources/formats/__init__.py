"""The formats that people's data come in: what each is recognised by, and the source that reads it.

A format is a file here with `TITLE`, `recognise(tree) -> str` (by what; "" where it is not there) and
`open_splits(data) -> Splits`, and a row below; its name is one of data.source.
"""

from __future__ import annotations

import importlib
from types import ModuleType

from trainer.data.sources.formats.tree import Tree

_HERE = "trainer.data.sources.formats"

# With a mask file for each image, in a layout of its own.
MASK_FILES = {
    "voc": f"{_HERE}.voc",
    "cityscapes": f"{_HERE}.cityscapes",
    "ade20k": f"{_HERE}.ade20k",
    "ade20k_full": f"{_HERE}.ade20k_full",
    "nnunet": f"{_HERE}.nnunet",
    "camvid": f"{_HERE}.camvid",
    "coco_stuff": f"{_HERE}.stuff",
    "masks_beside": f"{_HERE}.beside",
}
# With descriptions from which the mask is drawn, or in containers.
ANNOTATIONS = {
    "coco": f"{_HERE}.coco",
    "coco_panoptic": f"{_HERE}.panoptic",
    "labelme": f"{_HERE}.labelme",
    "label_studio": f"{_HERE}.label_studio",
    "cvat": f"{_HERE}.cvat",
    "yolo": f"{_HERE}.yolo",
    "supervisely": f"{_HERE}.supervisely",
    "via": f"{_HERE}.via",
    "huggingface": f"{_HERE}.tables",
}
FORMATS = {**MASK_FILES, **ANNOTATIONS}


def format_of(name: str) -> ModuleType:
    """The module of a format."""
    return importlib.import_module(FORMATS[name])


def recognised(tree: Tree) -> dict[str, str]:
    """Name of each format that a folder holds -> what it was recognised by."""
    found = {name: format_of(name).recognise(tree) for name in FORMATS}
    return {name: by for name, by in found.items() if by}
