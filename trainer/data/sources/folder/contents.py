"""The contents of data.path: a recognised format, or pairs of files; of several, an error lists the flags."""

from __future__ import annotations

import os

from configs.reading.folders import holds_volumes
from configs.schema import Data
from trainer.data.errors import shown
from trainer.data.sources import formats
from trainer.data.sources.folder.folder import list_folder, open_pairs
from trainer.data.sources.formats.tree import read_tree
from trainer.data.sources.pairs import Listing
from trainer.data.sources.splits import Splits


def open_splits(data: Data) -> Splits:
    """The splits of data.path.

    Files are listed and headers or annotations read; no pixel but those of a few masks is decoded.
    """
    root = os.path.expanduser(data.path)
    if not os.path.isdir(root):
        return open_pairs(data)
    if holds_volumes(root):
        text = (
            f"{shown(root)}: holds volumes, such as NIfTI files: --config.data.source=volumes, with a recipe for them: "
            "--config=configs/own_volumes.py."
        )
        return Splits(title=shown(data.path), fatal=(text,))
    try:
        tree = read_tree(root)
    except OSError as error:
        return Splits(title=shown(root), fatal=(f"{shown(error.filename or root)}: cannot be read: {error.strerror}.",))
    found = formats.recognised(tree)
    if not found:
        return open_pairs(data)
    first = formats.format_of(next(iter(found)))
    if len(found) == 1 and formats.has_mask_files(next(iter(found))):
        return first.open_splits(data)
    plain = list_folder(root, data) if not any(map(formats.has_mask_files, found)) else Listing()
    pairs = (*plain.train, *plain.validation, *plain.test)
    if len(found) == 1 and not pairs:
        return first.open_splits(data)
    readings = {name: f"{formats.format_of(name).TITLE}: {by}" for name, by in found.items()}
    if pairs:
        readings["pairs"] = f"image and mask files: {pairs[0].name} with {shown(pairs[0].mask)}"
    wide = max(map(len, readings))
    lines = "".join(f"\n    --config.data.source={name:<{wide}}  # {what}" for name, what in readings.items())
    fatal = f"{shown(root)}: can be read in {len(readings)} ways. Say which is meant:{lines}"
    return Splits(title=shown(data.path), fatal=(fatal,))
