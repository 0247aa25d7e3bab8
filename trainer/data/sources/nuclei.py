"""The embedded nuclei: 190 microscopy images with masks of 0 and 255, split by lists; nothing to download."""

from __future__ import annotations

import dataclasses
import os

from configs.schema import Data
from trainer.data.sources.folder import folder
from trainer.data.sources.splits import Splits

# The files are in a folder with this module's name.
NUCLEI = os.path.splitext(os.path.abspath(__file__))[0]


def open_splits(data: Data) -> Splits:
    """The two splits of the embedded set."""
    title = "nuclei (embedded)"
    if data.mask_encoding not in ("auto", "binary") or len(data.classes) not in (0, 2):
        wrong = f"mask_encoding={data.mask_encoding!r} and {len(data.classes)} classes {data.classes!r}"
        return Splits(
            title=title,
            fatal=(
                f"The embedded nuclei have masks of 0 and 255 and two classes. Received: {wrong}.\n"
                "  Write mask_encoding='binary' and two names, or data of your own: --config.data.source=folder "
                "--config.data.path=DIRECTORY",
            ),
        )
    named = data.classes or ("background", "nucleus")
    found = folder.open_pairs(dataclasses.replace(data, path=NUCLEI, classes=named, mask_encoding="binary"))
    return dataclasses.replace(found, title=title, classes=named, fields={"mask_encoding": "binary"})
