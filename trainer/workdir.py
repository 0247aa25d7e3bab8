"""A run and its workdir: held against other runs, saved to, and gone on from."""

from __future__ import annotations

import contextlib
import dataclasses
import weakref
from collections.abc import Iterator

from trainer.checkpoints import folder as checkpoints
from trainer.checkpoints import lock as workdir_lock
from trainer.checkpoints.extend import grown
from trainer.checkpoints.host import HostState
from trainer.checkpoints.restore import restore
from trainer.checkpoints.resume import check_config, check_data, config_of, describe_data, find_start
from trainer.errors import UserError
from trainer.reporting.clock import SAVING
from trainer.reporting.memory.out_of_memory import explaining_memory

_CHECKPOINTS = "saving or loading a checkpoint"


@contextlib.contextmanager
def holding(run) -> Iterator[None]:
    """Inside, no other run can train in the workdir; a loop of your own may go on after it."""
    if run.training:
        raise UserError("run.train() is at work already: an action cannot call it again, nor can another thread.")
    if run.lock is not None:
        run.lock.release()
    run.lock = None
    if run.devices.chief:
        run.lock = workdir_lock.take(run.workdir)
    run.training = True
    try:
        yield
    finally:
        run.training = False
        if run.lock is not None:
            run.lock.release()
        run.lock = None


def hold_for_a_loop(run) -> None:
    """As `holding`, for a loop of the user's, of which nobody says when it is over."""
    if not run.devices.chief:
        return
    if run.lock is None:
        run.lock = workdir_lock.take(run.workdir, loop=True)
        weakref.finalize(run, run.lock.release)
    elif run.lock.released:
        raise UserError(
            f"Another Run of this process has taken over the workdir {run.workdir!r} from this loop.\n"
            "  Go on with that one, or make this run anew."
        )


def save(run, *, again: bool = False) -> None:
    """As `Run.save`."""
    hold_for_a_loop(run)
    # Only the chief knows of a save that failed and is to be tried again.
    if not run.devices.any_worker(again or run.saver.last_step != run.current_step):
        return
    with run.clock.pause(SAVING), explaining_memory(run.named_config, _CHECKPOINTS):
        run.host.trained, run.host.seconds = run.clock.trained, run.clock.parts
        run.host.report = run.totals.sums()
        run.host.micro_batches = {str(step): count for step, count in run.found_micro_batches.items()}
        run.saver.save(run.state, dataclasses.asdict(run.host))


def newest_checkpoint(run) -> checkpoints.Saved | None:
    """Where a loop of the user's goes on; None of a new run."""
    hold_for_a_loop(run)
    with explaining_memory(run.named_config, _CHECKPOINTS):
        return find_start(run.workdir, run.devices, run.log)


def go_on_from(run, saved: checkpoints.Saved, *, checked: bool = True) -> None:
    """Puts the device's and the host's state back to what a checkpoint holds.

    Args:
      run: the run.
      saved: a checkpoint.
      checked: the run is known to be the checkpoint's; else a config or data that make it another run are refused.
    """
    if not checked:
        check_data(describe_data(run.data), run, saved)  # opens them: what they say belongs to the config
        check_config(run, saved)
    before = config_of(run.workdir) if run.extend else None
    if before is not None:
        shapes = {path: variable.shape for path, variable in run.state.variables_by_path().items()}
        saved, lines = grown(saved, shapes, len(before.data.classes), len(run.data.classes))
        for line in lines:
            run.log(f"extended: {line}")
    with explaining_memory(run.named_config, _CHECKPOINTS):
        restore(run.state, saved)
    run.host = dataclasses.replace(HostState.from_saved(saved.host), data=describe_data(run.data))
    run.found_micro_batches = {int(s): n for s, n in run.host.micro_batches.items()} | run.found_micro_batches
    run.totals.restore(run.host.report)
    run.saver.last_step = saved.step
