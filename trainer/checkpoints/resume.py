"""Where a run starts: at the newest whole checkpoint of its workdir, if the config is still the same run's."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Mapping

from configs.reading import fields
from configs.reading.serialization import besides_of, differences, from_json, to_json
from configs.schema import Config
from trainer import process
from trainer.checkpoints import folder as checkpoint
from trainer.checkpoints.extend import extends
from trainer.distribution.strategy import Devices
from trainer.errors import EXIT_FAILED, UserError
from trainer.reporting.records import CONFIG_FILE, write_whole

_EXTEND = "To go on with more examples, with classes added at the end, or for longer: --extend"


def find_start(workdir: str, devices: Devices, log) -> checkpoint.Saved | None:
    """The checkpoint to go on from, or None for a new run: the same one on all workers.

    The chief chooses it, and reports damaged newer ones and sets them aside; the others read its choice.

    Raises:
      DamagedCheckpoint: there are checkpoints and none is whole: whether to start over is the user's decision.
    """
    failure = saved = None
    if devices.chief:
        try:
            saved = _newest(workdir, log)
        except UserError as error:
            failure = error
        except OSError as error:
            failure = checkpoint.unreadable(workdir, error)
    # Sent one after the other, each as a sum to which only the chief adds.
    failed, fresh = (devices.any_worker(value) for value in (failure is not None, devices.chief and saved is None))
    step = int(devices.sum_over_workers(saved.step if saved is not None else 0))
    if failure is not None:
        raise failure
    if failed:
        raise UserError("The chief, worker 0, could not find a checkpoint to go on from.", exit_code=EXIT_FAILED)
    if not devices.chief and not fresh:
        saved = checkpoint.read(checkpoint.step_folder(workdir, step))
    return saved


def _newest(workdir: str, log) -> checkpoint.Saved | None:
    checkpoint.tidy(workdir)
    saved, damage = checkpoint.read_newest(workdir)
    if saved is None and damage:
        raise checkpoint.DamagedCheckpoint(
            f"None of the {len(damage)} checkpoints of this run is whole:\n  "
            + "\n  ".join(damage)
            + f"\n  To start anew, move {checkpoint.folder_of(workdir)} away, or choose another workdir: --workdir=…"
        )
    for reason in damage:
        log(f"warning: damaged checkpoint: {reason}")
    if damage:
        checkpoint.set_aside(workdir, saved.step)
        log(f"warning: taking the one before instead, of step {saved.step}; the damaged are kept as *.damaged")
    return saved


def check_config(run, start: checkpoint.Saved | None) -> None:
    """Logs what changed since the run began.

    Raises:
      UserError: a change makes it another run, and --force_config is not given.
    """
    if start is None:
        return
    config, log = run.config, run.log
    path = os.path.join(run.workdir, CONFIG_FILE)
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        before, given_before = from_json(text), besides_of(text, "objects")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        log(f"warning: {path} cannot be read, so the config is not compared with the one of the run: {reason}")
        return
    if "data" in run.parts.names() and before.data.mask_encoding == "auto":
        # Earlier versions did not record how the labels of a run's own data were read.
        before = fields.replace(before, {"data.mask_encoding": config.data.mask_encoding})
    changed = differences(before, config)
    more = len(config.data.classes) > len(before.data.classes)
    extending = [d for d in changed if d.breaks and extends(d.field, d.old, d.new, more)]
    breaking = [d for d in changed if d.breaks and not (run.extend and d in extending)]
    remedy = "" if run.extend or len(extending) < len(breaking) else f"{_EXTEND}\n  Or: "
    remedy += (
        "Go on with the old values, start elsewhere with --workdir=…, or, if you mean it, go on with the new\n"
        "  ones: --force_config"
    )
    given = run.parts.names()
    replaced = [
        f"{name}: was {given_before.get(name, 'the configured')}, now {given.get(name, 'the configured')}"
        for name in sorted({*given, *given_before} - {"actions", "metrics"})
        if given.get(name) != given_before.get(name)
    ]
    _refuse("another config", [*(f"config.{d}" for d in breaking), *replaced], remedy, run, start)
    for difference in changed:
        log(f"changed since the run began: config.{difference}")
    settings = besides_of(text, "process")
    if settings and process.recorded():
        for difference in process.differences(settings, process.recorded()):
            log(f"changed since the run began: {difference}; the last bits differ from here on")


def take_up_micro_batches(run) -> None:
    """The micro-batches that train.accumulate=auto found in this workdir, also before the first checkpoint."""
    if run.config.train.accumulate != "auto":
        return
    try:
        with open(os.path.join(run.workdir, CONFIG_FILE), encoding="utf-8") as file:
            text = file.read()
        if any(difference.breaks for difference in differences(from_json(text), run.config)):
            return
        found = {int(step): int(count) for step, count in besides_of(text, "micro_batches").items()}
    except (OSError, ValueError, TypeError):
        return  # nothing is lost: it is found again
    run.found_micro_batches = found | run.found_micro_batches


def describe_data(data) -> dict[str, list]:
    """What decides which example a step sees, kept in checkpoints: split -> [number of examples, digest of names].

    Args:
      data: has the sources `train` and `validation`.
    """
    return {
        source.split: [source.length, hashlib.sha256("\0".join(source.names).encode()).hexdigest()]
        for source in (data.train, data.validation)
        if source is not None
    }


def check_data(described: Mapping, run, start: checkpoint.Saved | None) -> None:
    """Logs which splits hold other files than when the checkpoint was made.

    Raises:
      UserError: some do, so that later steps would see other images, and --force_config is not given.
    """
    before = start.host.get("data") if start is not None else None
    if not before:
        return
    changed, more = [], []
    for split, (count, names) in described.items():
        old_count, old_names = before.get(split, (count, names))
        if run.extend and old_count is not None and count is not None and old_count < count:
            more.append(f"the {split} split had {old_count} images, now {count}")
        elif run.extend and old_count == count and old_names != names:
            more.append(
                f"the {split} split has {count} images as before, but not of the same names (where it was split by a "
                "fraction, some that are evaluated now may have been trained on)"
            )
        elif old_count != count:
            changed.append(f"the {split} split had {old_count} images, now {count}")
        elif old_names != names:
            changed.append(f"the {split} split has {count} images as before, but not of the same names")
    added = all(count and (before.get(split) or [count])[0] <= count for split, (count, _) in described.items())
    remedy = f"{_EXTEND}\n  Or: " if added and not run.extend else ""
    remedy += (
        "Put the files back, start elsewhere with --workdir=…, or, if you mean it, go on with these:\n  --force_config"
    )
    _refuse("other data", changed, remedy, run, start)
    for what in changed:
        run.log(f"changed since the run began: {what}")
    for what in more:
        run.log(f"more than when the run began: {what}; from here on epochs have another order")


def _refuse(kind: str, changed: list[str], remedy: str, run, start: checkpoint.Saved) -> None:
    """Raises a UserError that lists what makes it another run, unless --force_config allows it."""
    if changed and not run.force:
        listed = "".join(f"  {what}\n" for what in changed)
        held = f"The workdir {run.workdir!r} holds a run at step {start.step} of {kind}:"
        raise UserError(f"{held}\n{listed}  {remedy}")


def config_of(workdir: str) -> Config | None:
    """The config that a run left in its workdir; None where there is none that can be read."""
    try:
        with open(os.path.join(workdir, CONFIG_FILE), encoding="utf-8") as file:
            return from_json(file.read())
    except (OSError, ValueError):
        return None


def write_config(run) -> None:
    """Writes the config to the workdir, for the next start and for evaluation, prediction and export.

    Raises:
      UserError: the disk is full, or the workdir or the checkpoints in it cannot be written; exit code 1.
    """
    path, folder = os.path.join(run.workdir, CONFIG_FILE), checkpoint.folder_of(run.workdir)
    try:
        besides = {"objects": run.parts.names(), "process": process.recorded()}
        besides["micro_batches"] = {str(step): count for step, count in run.found_micro_batches.items()}
        write_whole(path, to_json(run.config, **besides).encode())
        if os.path.lexists(folder):
            # Tried now: at the first checkpoint it would be too late. `tidy` removes what a kill leaves of it.
            path = os.path.join(folder, f"tried.partial-{os.getpid()}")
            write_whole(path, b"")
            os.remove(path)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written: {error.strerror}. Nothing was trained; what was saved before is whole.\n"
            "  Make room, or choose another place: --workdir=…",
            exit_code=EXIT_FAILED,
        ) from error


def newest(workdir: str) -> str:
    """The last checkpoint, for messages."""
    steps = checkpoint.list_steps(workdir)
    return f"step {steps[-1]}" if steps else "the start"


def check_shared_workdir(workdir: str, devices: Devices) -> None:
    """Finds out whether every worker sees the chief's workdir, by a file that the chief writes.

    Raises:
      UserError: this or another worker does not; raised on all of them.
    """
    if devices.workers == 1:
        return
    number = int(devices.sum_over_workers(secrets.randbelow(2**31) if devices.chief else 0))
    mark = os.path.join(workdir, f".chief-{number}")
    if devices.chief:
        try:
            with open(mark, "w", encoding="utf-8"):
                pass
        except OSError as error:
            raise UserError(f"The workdir {workdir!r} cannot be written: {error.strerror}.") from error
    devices.sum_over_workers(0.0)  # a barrier: the file exists before any worker looks
    seen = os.path.exists(mark)
    missing = devices.workers - int(devices.sum_over_workers(1.0 if seen else 0.0))
    if devices.chief:
        os.remove(mark)
    if missing:
        here = "This worker does not see" if not seen else f"{missing} of {devices.workers} workers do not see"
        raise UserError(
            f"{here} the chief's workdir {os.path.abspath(workdir)!r}.\n  All workers need the same shared folder "
            "(NFS, a persistent volume), at the same path: checkpoints are read from it by all."
        )
