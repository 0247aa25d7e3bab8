"""Where a run starts: at the newest whole checkpoint of its workdir, if the config is still the same run's."""

from __future__ import annotations

import os
import secrets

from configs.schema import Config
from configs.text import differences, from_json
from trainer import checkpoint
from trainer.errors import UserError
from trainer.options import Options
from trainer.records import CONFIG_FILE
from trainer.strategy import Devices


def find_start(workdir: str, tell) -> checkpoint.Saved | None:
    """The checkpoint to go on from, or None for a new run. Damaged newer ones are named and set aside.

    Raises:
      DamagedCheckpoint: there are checkpoints and none of them is whole: starting anew over them is not ours to decide.
    """
    saved, damage = checkpoint.read_newest(workdir)
    if saved is None and damage:
        raise checkpoint.DamagedCheckpoint(
            f"None of the {len(damage)} checkpoints of this run is whole:\n  " + "\n  ".join(damage)
            + f"\n  To start anew, move {checkpoint.folder_of(workdir)} away, or choose another workdir: --workdir=…"
        )  # fmt: skip
    for reason in damage:
        tell(f"warning: damaged checkpoint: {reason}")
    if damage:
        checkpoint.set_aside(workdir, saved.step)
        tell(f"warning: taking the one before instead, of step {saved.step}; the damaged are kept as *.damaged")
    return saved


def check_config(config: Config, options: Options, start: checkpoint.Saved | None, tell) -> None:
    """Names what changed since the run began.

    Raises:
      UserError: a change makes it another run, and --force_config does not say that this is meant.
    """
    path = os.path.join(options.workdir, CONFIG_FILE)
    if start is None or not os.path.isfile(path):
        return
    with open(path, encoding="utf-8") as file:
        text = file.read()
    try:
        before = from_json(text)
    except ValueError as error:
        tell(f"warning: {path} cannot be read, so the config is not compared with it: {error}")
        return
    changed = differences(before, config)
    breaking = [d for d in changed if d.breaks]
    lines = [f"config.{d.field}: {d.old!r} -> {d.new!r}" for d in changed]
    if breaking and not options.force_config:
        named = [f"config.{d.field}: {d.old!r} -> {d.new!r}" for d in breaking]
        raise UserError(
            f"The workdir {options.workdir!r} holds a run at step {start.step} of another config:\n  "
            + "\n  ".join(named)
            + "\n  Go on with the old values, start elsewhere with --workdir=…, or, if you mean it, "
              "go on with the new values: "
            "--force_config"
        )  # fmt: skip
    for line in lines:
        tell(f"changed since the run began: {line}")


def check_shared_workdir(workdir: str, devices: Devices) -> None:
    """Finds out whether every worker sees the chief's workdir, by a file that the chief writes.

    Raises:
      UserError: this or another worker does not; raised on all of them.
    """
    if devices.workers == 1:
        return
    number = secrets.randbelow(2**31) if devices.chief else 0
    mark = os.path.join(workdir, f".chief-{int(devices.sum_over_workers(number)) if not devices.chief else number}")
    if devices.chief:
        with open(mark, "w"):
            pass
        devices.sum_over_workers(number)
    devices.sum_over_workers(0.0)  # a barrier: the file is there before anybody looks
    seen = os.path.exists(mark)
    missing = devices.workers - int(devices.sum_over_workers(1.0 if seen else 0.0))
    if devices.chief:
        os.remove(mark)
    if missing:
        here = "This worker does not see" if not seen else f"{missing} of {devices.workers} workers do not see"
        raise UserError(
            f"{here} the chief's workdir {os.path.abspath(workdir)!r}.\n  All workers need the same "
            "shared folder (NFS, a "
            "persistent volume), at the same path: checkpoints are read from it by all."
        )
