"""What a folder holds, judged by names alone, for questions that come before TensorFlow is imported."""

from __future__ import annotations

import hashlib
import json
import os
import re

from configs.schema import Config

# What a cross-validation leaves in its workdir, beside fold_0, fold_1 …
FOLDS_FILE = "crossvalidation.json"
# Endings of volumes; TIFF files may be images or volumes, and count as images.
VOLUMES = (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd")
_MOST_SEEN = 2000
# Of recipes for whatever a folder holds.
_NAMELESS = ("own", "own_volumes", Config().name)


def named_after(config: Config) -> str:
    """The config's name, or that of its data's folder where it has none of its own."""
    folder = os.path.basename(os.path.abspath(os.path.expanduser(config.data.path))) if config.data.path else ""
    return re.sub(r"[^\w.-]+", "_", folder) if folder and config.name in _NAMELESS else config.name


def named_with(name: str, values: dict) -> str:
    """A file's name followed by values: "evaluation-tile=64x64"; a digest where they are many."""
    if not values:
        return name

    def text(value):
        return "x".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)

    suffix = ",".join(f"{path.rpartition('.')[2]}={text(value)}" for path, value in values.items())
    suffix = re.sub(r"[^\w.=,+-]+", "_", suffix)
    if len(suffix) > 60:
        suffix = hashlib.sha256(repr(sorted(values.items())).encode()).hexdigest()[:8]
    return f"{name}-{suffix}"


def holds_volumes(path: str) -> bool:
    """Whether most of a folder's first files are volumes, at most two folders down."""
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


def folds_of(workdir: str) -> list[str]:
    """The workdirs of the finished folds of a cross-validation; empty for any other folder."""
    try:
        with open(os.path.join(workdir, FOLDS_FILE), encoding="utf-8") as file:
            done = len(json.load(file)["folds"])
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [os.path.join(workdir, f"fold_{fold}") for fold in range(done)]
