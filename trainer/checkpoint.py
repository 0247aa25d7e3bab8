"""Checkpoints: every variable by its path, in a folder that is either whole or not there.

    workdir/checkpoints/step_00000500/variables.npz    one array a variable, no pickle
                                      manifest.json    step, shapes, what the host knows, and the digests of both files
    workdir/checkpoints/best.json                      which step had the best score

A folder is written beside under another name, flushed to the disk, and renamed; so a kill at any moment leaves the
older checkpoints as they were. Reading checks the digests, so a flipped bit is a damaged checkpoint and not a model.
Keras's own files and `tf.train.Checkpoint` leave out seed generators or name variables by ordinals, so that
a mismatch cannot be named; a distributed iterator fits in neither.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping

import numpy as np

from trainer.errors import EXIT_FAILED, UserError
from trainer.records import write_json

FORMAT = 1
_FOLDER = re.compile(r"step_(\d{8,})")
_VARIABLES, _MANIFEST, _BEST = "variables.npz", "manifest.json", "best.json"


class DamagedCheckpoint(UserError, ValueError):
    """A checkpoint folder that is not what was written."""

    exit_code = EXIT_FAILED


@dataclasses.dataclass(frozen=True)
class Saved:
    """A checkpoint read back: `arrays` by variable path, `host` what the host keeps (scores, clock, skipped data)."""

    folder: str
    step: int
    arrays: Mapping[str, np.ndarray]
    host: Mapping


def folder_of(workdir: str) -> str:
    return os.path.join(workdir, "checkpoints")


def write(workdir: str, step: int, arrays: Mapping[str, np.ndarray], host: Mapping) -> str:
    """Writes and commits one checkpoint; returns its folder.

    Raises:
      OSError: the disk is full or not writable; nothing of the new checkpoint is left, the older ones are whole.
    """
    final = os.path.join(folder_of(workdir), f"step_{step:08d}")
    beside = f"{final}.partial-{os.getpid()}"
    os.makedirs(folder_of(workdir), exist_ok=True)
    _clear_partial(workdir)
    try:
        os.makedirs(beside)
        path = os.path.join(beside, _VARIABLES)
        with open(path, "wb") as file:
            np.savez(file, **{_key(name): array for name, array in arrays.items()})
            _to_disk(file)
        manifest = {
            "format": FORMAT,
            "step": step,
            "host": host,
            "variables": {name: [list(a.shape), str(a.dtype)] for name, a in arrays.items()},
            "sha256": _file_digest(path),
        }
        manifest["manifest_sha256"] = _manifest_digest(manifest)
        with open(os.path.join(beside, _MANIFEST), "w") as file:
            json.dump(manifest, file, indent=1)
            _to_disk(file)
        if os.path.isdir(final):
            shutil.rmtree(final)
        os.replace(beside, final)
        _folder_to_disk(folder_of(workdir))
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return final


def read(folder: str) -> Saved:
    """Reads one checkpoint and checks every byte of it.

    Raises:
      DamagedCheckpoint: with the reason, in words.
    """
    manifest = _read_manifest(folder)
    path = os.path.join(folder, _VARIABLES)
    if not os.path.isfile(path):
        raise DamagedCheckpoint(f"{folder}: {_VARIABLES} is missing")
    if _file_digest(path) != manifest["sha256"]:
        raise DamagedCheckpoint(
            f"{folder}: {_VARIABLES} ({os.path.getsize(path)} bytes) is not what was written: its digest differs"
        )
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[_key(name)] for name in manifest["variables"]}
    return Saved(folder, manifest["step"], arrays, manifest["host"])


def _read_manifest(folder: str) -> dict:
    path = os.path.join(folder, _MANIFEST)
    if not os.path.isdir(folder):
        raise DamagedCheckpoint(f"{folder}: there is no such folder")
    if not os.path.isfile(path):
        raise DamagedCheckpoint(f"{folder}: {_MANIFEST} is missing, so it was not finished")
    try:
        with open(path, encoding="utf-8") as file:
            manifest = json.load(file)
        whole = manifest.get("manifest_sha256") == _manifest_digest(manifest)
    except (ValueError, AttributeError) as error:
        raise DamagedCheckpoint(f"{folder}: {_MANIFEST} cannot be read: {error}") from error
    if not whole:
        raise DamagedCheckpoint(f"{folder}: {_MANIFEST} is not what was written: its digest differs")
    if manifest["format"] > FORMAT:
        raise UserError(
            f"{folder} was written by a newer version (format {manifest['format']}; this one reads "
            f"{FORMAT}). Update this project."
        )
    return manifest


def list_steps(workdir: str) -> list[int]:
    """Steps of the checkpoint folders, the oldest first; half-written ones have other names and are no checkpoints."""
    if not os.path.isdir(folder_of(workdir)):
        return []
    found = (_FOLDER.fullmatch(name) for name in os.listdir(folder_of(workdir)))
    return sorted(int(match[1]) for match in found if match)


def read_newest(workdir: str) -> tuple[Saved | None, list[str]]:
    """The newest whole checkpoint, or None, and what is wrong with each newer one, in words."""
    damage = []
    for step in reversed(list_steps(workdir)):
        try:
            return read(step_folder(workdir, step)), damage
        except DamagedCheckpoint as error:
            damage.append(str(error))
        except OSError as error:
            damage.append(f"{step_folder(workdir, step)}: {error.strerror or error}")
    return None, damage


def step_folder(workdir: str, step: int) -> str:
    return os.path.join(folder_of(workdir), f"step_{step:08d}")


def set_aside(workdir: str, newer_than: int) -> list[str]:
    """Renames damaged checkpoints newer than the one taken, so that they are kept for a look and never taken again."""
    moved = []
    for step in list_steps(workdir):
        if step > newer_than:
            target = f"{step_folder(workdir, step)}.damaged"
            shutil.rmtree(target, ignore_errors=True)
            os.replace(step_folder(workdir, step), target)
            moved.append(target)
    return moved


def remember_best(workdir: str, step: int, metric: str, score: float) -> None:
    """Says which checkpoint is the best; it must be committed before."""
    write_json(os.path.join(folder_of(workdir), _BEST), {"step": step, "metric": metric, "score": score})


def best_step(workdir: str) -> int | None:
    """The best checkpoint's step; None where none is marked, or the mark cannot be read."""
    try:
        with open(os.path.join(folder_of(workdir), _BEST), encoding="utf-8") as file:
            step = json.load(file)["step"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return step if isinstance(step, int) and step in list_steps(workdir) else None


def prune(workdir: str, keep: int, keep_best: bool) -> None:
    """Removes all but the newest `keep` checkpoints and the best."""
    steps = list_steps(workdir)
    kept = set(steps[-keep:]) | ({best_step(workdir)} if keep_best else set())
    for step in steps:
        if step not in kept:
            shutil.rmtree(step_folder(workdir, step), ignore_errors=True)


def find(workdir: str, which: str) -> Saved:
    """The checkpoint that "best", "latest" or a folder's path names.

    Raises:
      UserError: there is none, or what is named is damaged; what else could be taken is said.
    """
    if which not in ("best", "latest"):
        return read(which)
    steps = list_steps(workdir)
    if not steps:
        raise UserError(
            f"There is no checkpoint in {folder_of(workdir)}.\n  Train first: python main.py --workdir={workdir}\n"
            "  or name another run: --workdir=…, or a checkpoint's folder: --checkpoint=…"
        )
    best = best_step(workdir) if which == "best" else None
    if best is not None:
        return read(step_folder(workdir, best))
    saved, damage = read_newest(workdir)
    if saved is None:
        raise DamagedCheckpoint("None of the checkpoints is whole:\n  " + "\n  ".join(damage))
    return saved


def _key(name: str) -> str:
    # np.savez takes its arrays as keyword arguments, of which "file" is its own.
    return f"v/{name}"


def _to_disk(file) -> None:
    file.flush()
    os.fsync(file.fileno())


def _folder_to_disk(folder: str) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _clear_partial(workdir: str) -> None:
    """Removes what a killed process left half written; one process at a time holds the workdir."""
    for name in os.listdir(folder_of(workdir)):
        if ".partial-" in name:
            shutil.rmtree(os.path.join(folder_of(workdir), name), ignore_errors=True)


def _file_digest(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _manifest_digest(manifest: Mapping) -> str:
    content = {key: value for key, value in manifest.items() if key != "manifest_sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
