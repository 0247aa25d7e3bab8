"""The known formats of data: how each is recognised, and the source that reads it.

A format is a file here, named like a value of data.source in `configs.schema`, with

    TITLE               its name in messages
    HAS_MASK_FILES      True where each image has a mask file: then nothing else in the folder can be meant
    recognise(tree)     the evidence for it in a folder; "" if there is none
    open_splits(data)   the `Splits`
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from configs.reading.fields import all_fields
from trainer.data.sources.formats.tree import Tree

_FILES = {file.name for file in pkgutil.iter_modules(__path__)}
FORMATS = tuple(name for name in all_fields()["data.source"].knob.names if name in _FILES)


def format_of(name: str) -> ModuleType:
    """The module of a format."""
    return importlib.import_module(f"{__name__}.{name}")


def has_mask_files(name: str) -> bool:
    return getattr(format_of(name), "HAS_MASK_FILES", False)


def recognised(tree: Tree) -> dict[str, str]:
    """Name of each format in a folder -> the evidence for it."""
    found = {name: format_of(name).recognise(tree) for name in FORMATS}
    return {name: by for name, by in found.items() if by}
