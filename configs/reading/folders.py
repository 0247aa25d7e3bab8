"""What a folder holds, by the names in it alone, for what has to be known before anything is imported."""

from __future__ import annotations

import os

# Names that say a volume; TIFF files may be images or volumes, and are taken for images.
VOLUMES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
_MOST_SEEN = 2000


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
