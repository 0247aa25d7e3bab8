"""Checkpoints: every variable by its path, in a folder that is either whole or not there.

    workdir/checkpoints/step_00000500/variables.npz    one array a variable, no pickle
                                      manifest.json    step, shapes, the host's state, and the digests of both files
    workdir/checkpoints/averaged/      the same of weights alone, the mean of several steps
    workdir/checkpoints/best.json                      which step had the best score

A folder is written under another name, flushed to the disk, and renamed, so that a kill at any moment leaves the older
checkpoints as they were. Reading checks the digests: a flipped bit makes a damaged checkpoint rather than another
model. Keras's own files and `tf.train.Checkpoint` leave out seed generators or name variables by ordinals, so that a
mismatch cannot be named; a distributed iterator fits in neither.
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

from configs.reading.folders import folds_of
from trainer.checkpoints.arrays import file_digest, read_arrays, to_disk, write_arrays
from trainer.errors import EXIT_FAILED, UserError
from trainer.reporting.records import jsonable, write_json

FORMAT = 1
_FOLDER = re.compile(r"step_(\d{8,})")
_VARIABLES, _MANIFEST, _BEST, _AVERAGED = "variables.npz", "manifest.json", "best.json", "averaged"
# Names of files beside the checkpoints' folders.
WORDS = ("best", "latest", "averaged")
_FIELDS = ("step", "host", "variables", "sha256")
# Endings of folders that are not checkpoints: being written, being removed, or the earlier checkpoint of a step that is
# being written again, which counts until the new one has its name.
_PARTIAL, _REPLACED, _DAMAGED = ".partial-", ".replaced", ".damaged"


class DamagedCheckpoint(UserError, ValueError):
    """A checkpoint folder whose content is not what was written."""

    exit_code = EXIT_FAILED


@dataclasses.dataclass(frozen=True)
class Saved:
    """A checkpoint read back: `arrays` by variable path, `host` what the host side keeps (scores, skipped data …)."""

    folder: str
    step: int
    arrays: Mapping[str, np.ndarray]
    host: Mapping


def folder_of(workdir: str) -> str:
    return os.path.join(workdir, "checkpoints")


def step_folder(workdir: str, step: int) -> str:
    return os.path.join(folder_of(workdir), f"step_{step:08d}")


def averaged_folder(workdir: str) -> str:
    """The folder of the averaged checkpoint, from which no run continues."""
    return os.path.join(folder_of(workdir), _AVERAGED)


def write(workdir: str, step: int, arrays: Mapping[str, np.ndarray], host: Mapping, *, averaged: bool = False) -> str:
    """Writes a checkpoint, replacing an earlier one of that step, and returns its folder.

    Args:
      averaged: whether it is the averaged one; then `step` is the last of the averaged steps.

    Raises:
      OSError: the disk is full or not writable; nothing of the new checkpoint is left, the older ones are whole.
    """
    final = averaged_folder(workdir) if averaged else step_folder(workdir, step)
    beside = f"{final}{_PARTIAL}{os.getpid()}"
    os.makedirs(folder_of(workdir), exist_ok=True)
    tidy(workdir)
    try:
        os.makedirs(beside)
        path = os.path.join(beside, _VARIABLES)
        described = write_arrays(path, arrays)
        manifest = {"format": FORMAT, "step": step, "host": jsonable(host), "variables": described}
        manifest["sha256"] = file_digest(path)
        manifest["manifest_sha256"] = _manifest_digest(manifest)
        with open(os.path.join(beside, _MANIFEST), "w", encoding="utf-8") as file:
            json.dump(manifest, file, indent=1)
            to_disk(file)
        _folder_to_disk(beside)
        replaced = final + _REPLACED
        if os.path.lexists(final):
            os.replace(final, replaced)
        os.replace(beside, final)
        _folder_to_disk(folder_of(workdir))
        _remove(replaced)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return final


def read(folder: str) -> Saved:
    """Reads one checkpoint and checks every byte of it.

    Raises:
      DamagedCheckpoint: with the reason.
      UserError: a newer version of this program wrote it.
    """
    try:
        manifest = _read_manifest(folder)
        path = os.path.join(folder, _VARIABLES)
        if not os.path.isfile(path):
            raise DamagedCheckpoint(f"{folder}: {_VARIABLES} is missing")
        if file_digest(path) != manifest["sha256"]:
            what = f"{_VARIABLES} ({os.path.getsize(path)} bytes)"
            raise DamagedCheckpoint(f"{folder}: {what} is not what was written: its digest differs")
        return Saved(folder, manifest["step"], read_arrays(path, manifest["variables"]), manifest["host"])
    except OSError as error:
        raise DamagedCheckpoint(f"{folder} cannot be read: {error.strerror or error} ({error.filename})") from error


def _read_manifest(folder: str) -> dict:
    path = os.path.join(folder, _MANIFEST)
    if not os.path.isdir(folder):
        what = "this is not a folder" if os.path.lexists(folder) else "there is no such folder"
        raise DamagedCheckpoint(f"{folder}: {what}")
    if not os.path.isfile(path):
        raise DamagedCheckpoint(f"{folder}: {_MANIFEST} is missing, so it was not finished")
    try:
        with open(path, encoding="utf-8") as file:
            manifest = json.load(file)
        whole = isinstance(manifest, dict) and manifest.get("manifest_sha256") == _manifest_digest(manifest)
    except (ValueError, RecursionError) as error:
        raise DamagedCheckpoint(f"{folder}: {_MANIFEST} cannot be read: {error}") from error
    if not whole:
        raise DamagedCheckpoint(f"{folder}: {_MANIFEST} is not what was written: its digest differs")
    if manifest.get("format") != FORMAT:
        raise UserError(
            f"{folder} was written by another version (format {manifest.get('format')}; this one reads {FORMAT}). "
            "Go on with the version that wrote it, or update this one."
        )
    missing = [name for name in _FIELDS if name not in manifest]
    if missing:
        raise DamagedCheckpoint(f"{folder}: {_MANIFEST} lacks {', '.join(missing)}")
    named = _FOLDER.fullmatch(os.path.basename(os.path.abspath(folder)))
    if named and int(named[1]) != manifest["step"]:
        raise DamagedCheckpoint(f"{folder}: it holds the checkpoint of step {manifest['step']}, unlike its name")
    return manifest


def list_steps(workdir: str) -> list[int]:
    """Steps of the checkpoint folders, the oldest first; half-written ones have other names and are no checkpoints."""
    try:
        names = os.listdir(folder_of(workdir))
    except FileNotFoundError:
        return []
    found = [(int(match[1]), name) for name in names if (match := _FOLDER.fullmatch(name))]
    return sorted(step for step, name in found if name == f"step_{step:08d}")


def read_newest(workdir: str) -> tuple[Saved | None, list[str]]:
    """The newest whole checkpoint, or None, and what is wrong with each newer one."""
    damage = []
    for step in reversed(list_steps(workdir)):
        try:
            return read(step_folder(workdir, step)), damage
        except DamagedCheckpoint as error:
            damage.append(str(error))
    return None, damage


def none_there(workdir: str) -> UserError:
    """The error for a workdir without checkpoints: what the folder is instead, and where there are some."""
    if folds := folds_of(workdir):
        return UserError(
            f"There is no checkpoint in {folder_of(workdir)}: this is the workdir of a cross-validation.\n"
            f"  All its folds together: --ensemble={workdir}; one of them: --workdir={folds[0]}"
        )
    return UserError(
        f"There is no checkpoint in {folder_of(workdir)}.\n  Train first, with --mode=train, or name another run: "
        "--workdir=…, or a checkpoint's folder: --checkpoint=…"
    )


def find(workdir: str, which: str) -> Saved:
    """The checkpoint that "best", "latest", "averaged" or a folder's path names.

    Raises:
      UserError: there is none, or it is damaged; the message lists the others.
    """
    if which == "averaged" and not os.path.isdir(averaged_folder(workdir)):
        raise UserError(
            f"There is no averaged checkpoint in {folder_of(workdir)}: --mode=average makes one, where it is better."
        )
    if which not in ("best", "latest"):
        return read(averaged_folder(workdir) if which == "averaged" else which)
    try:
        steps = list_steps(workdir)
    except OSError as error:
        raise unreadable(workdir, error) from error
    if not steps:
        raise none_there(workdir)
    best = best_step(workdir) if which == "best" else None
    if best is not None:
        try:
            return read(step_folder(workdir, best))
        except DamagedCheckpoint as error:
            others = [step for step in steps if step != best]
            hint = f"\n  Another one: --checkpoint={step_folder(workdir, others[-1])}" if others else ""
            raise DamagedCheckpoint(f"The best checkpoint is damaged: {error}{hint}") from error
    saved, damage = read_newest(workdir)
    if saved is None:
        raise DamagedCheckpoint("None of the checkpoints is whole:\n  " + "\n  ".join(damage))
    return saved


def unreadable(workdir: str, error: OSError) -> UserError:
    """The error for a folder of checkpoints that cannot be listed or tidied up; exit code 1."""
    return UserError(
        f"{error.filename or folder_of(workdir)}: {error.strerror or error}. This run's checkpoints are looked for in "
        f"{folder_of(workdir)}.\n  Put that right (what it is, who may read and write it), or choose another workdir: "
        "--workdir=…",
        exit_code=EXIT_FAILED,
    )


def tidy(workdir: str) -> None:
    """Removes what a killed process left half written, and renames a checkpoint that it was replacing back.

    Only the process that holds the workdir may call it.
    """
    folder = folder_of(workdir)
    for name in os.listdir(folder) if os.path.isdir(folder) else ():
        path = os.path.join(folder, name)
        if name.endswith(_REPLACED) and not os.path.lexists(path.removesuffix(_REPLACED)):
            os.replace(path, path.removesuffix(_REPLACED))
        elif name.endswith(_REPLACED) or _PARTIAL in name:
            _remove(path)


def set_aside(workdir: str, newer_than: int) -> list[str]:
    """Renames damaged checkpoints newer than the one in use, so that they are kept for inspection and never used."""
    moved = []
    for step in list_steps(workdir):
        if step > newer_than:
            path = step_folder(workdir, step)
            target, number = path + _DAMAGED, 2
            while os.path.lexists(target):
                target, number = f"{path}{_DAMAGED}-{number}", number + 1
            os.replace(path, target)
            moved.append(target)
    return moved


def mark_best(workdir: str, step: int | None, metric: str, score: float | None) -> None:
    """Marks a checkpoint as the best, if it exists and is not marked yet."""
    if step is not None and step in list_steps(workdir) and best_step(workdir) != step:
        write_json(os.path.join(folder_of(workdir), _BEST), {"step": step, "metric": metric, "score": score})


def best_step(workdir: str) -> int | None:
    """The best checkpoint's step; None where none is marked, or the mark cannot be read."""
    try:
        with open(os.path.join(folder_of(workdir), _BEST), encoding="utf-8") as file:
            step = json.load(file)["step"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return step if isinstance(step, int) and step in list_steps(workdir) else None


def prune(workdir: str, keep: int, best: int | None) -> None:
    """Removes all but the newest `keep` checkpoints and the one of step `best`."""
    steps = list_steps(workdir)
    for step in steps[:-keep]:
        if step != best:
            # Under another name first: a kill in the middle must not leave half a checkpoint that looks like one.
            doomed = f"{step_folder(workdir, step)}{_PARTIAL}removed"
            os.replace(step_folder(workdir, step), doomed)
            _remove(doomed)


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path, ignore_errors=True)
    elif os.path.lexists(path):
        os.remove(path)


def _folder_to_disk(folder: str) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _manifest_digest(manifest: Mapping) -> str:
    content = {key: value for key, value in manifest.items() if key != "manifest_sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
