"""What a folder holds, by the names in it alone, for what has to be known before anything is imported."""

from __future__ import annotations

import os
import re

from configs.schema import Config

# Names that say a volume; TIFF files may be images or volumes, and are taken for images.
VOLUMES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
_MOST_SEEN = 2000
# Of recipes for whatever a folder holds.
_NAMELESS = ("own", "own_volumes", Config().name)


def named_after(config: Config) -> str:
    """The config's name, or that of its data's folder where it has none of its own."""
    folder = os.path.basename(os.path.abspath(os.path.expanduser(config.data.path))) if config.data.path else ""
    return re.sub(r"[^\w.-]+", "_", folder) if folder and config.name in _NAMELESS else config.name


def holds_volumes(path: str) -> bool:
    """Whether most of the files that a folder begins with are volumes, at most two folders down."""
    seen = volumes = 0
    for parent, folders, names in os.walk(os.path.expanduser(path)):
        folders.sort()
        if os.path.relpath(parent, path).count(os.sep) >= 1:
            folders.clear()
        for name in names:
            if not name.startswith("."):
                volumes += name.lower().endswith(VOLUMES)
                seen += not name.lower().endswith((".txt", ".json", ".md", ".csv"))
        if seen > _MOST_SEEN:
            break
    return volumes > 0.5 * seen > 0
