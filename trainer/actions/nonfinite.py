"""What happens when a gradient is not finite: stop and name it, skip the batch, or go back and leave that data out.

The device decides while training, alike on all replicas, and asks nobody; here the host learns of it after the call,
computes the batch again (data are a function of seed and step), keeps it, and asks the guard for the line.
"""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Mapping
from typing import NoReturn

import numpy as np
import tensorflow as tf

from trainer import guard
from trainer.checkpoints.resume import find_start
from trainer.data import training_batches
from trainer.errors import EXIT_FAILED, UserError
from trainer.reporting.records import write_whole
from trainer.stepping.batches import data_step
from trainer.stepping.optimizer import lower_rate

# Files in bad_batches/: data that are bad throughout must not fill the disk.
_MOST_KEPT = 20
_ONLY_IN_TRAINING = (
    "  Computed again in one piece the gradients are finite: the overflow comes from the arithmetic of this precision "
    "or from the split over replicas."
)


class Nonfinite:
    """The policy `config.guard.nonfinite`, asked after every call to the device."""

    # The reason with which the loop ends when it is to begin again from a checkpoint.
    WENT_BACK = "went back to a checkpoint"

    def __init__(self, run):
        self._run, self._batch = run, None
        self._skipped = int(run.state.skipped.numpy())
        self._warned: set[str] = set()

    def after_call(self, step: int, batch: Mapping[str, np.ndarray] | None = None) -> str | None:
        """Returns WENT_BACK after going back, else None.

        Args:
          step: that the run is at.
          batch: the last global batch where it is not the pipeline's (`Run.step`).

        Raises:
          UserError: the policy ends the run, with what was found; exit code 1.
        """
        state, limit = self._run.state, self._run.config.guard.max_skips
        self._batch = batch
        self._warn_of_zeros()
        if int(state.halted.numpy()):
            return self._go_back(step) if self._goes_back() else self._stop(step)
        skipped = int(state.skipped.numpy())
        if skipped > self._skipped and not state.loss_scale.enabled:
            steps = state.recent_skipped.numpy()[-(skipped - self._skipped) :]
            for bad in steps[steps >= 0].tolist():
                self._report(bad, f"step {bad}: skipped, {self._offenders()}. The batch: {self._keep_batch(bad)}")
        self._skipped = skipped
        in_row = int(state.in_row.numpy())
        if in_row > limit:
            scale = (
                f" The loss scale is down to {float(state.loss_scale.scale.numpy()):g}."
                if state.loss_scale.enabled
                else ""
            )
            text = (
                f"{in_row} steps in a row were skipped, since {self._offenders()}: more than "
                f"config.guard.max_skips={limit}, so nothing is learned any more.{scale}\n"
                f"  {lower_rate(self._run.config, self._run.parts.optimizer)}, or use "
                "--precision=mixed_bfloat16 or float32; --config.guard.nonfinite=stop names the line."
            )
            raise UserError(text, exit_code=EXIT_FAILED, markdown=text)
        return None

    def _goes_back(self) -> bool:
        return self._run.config.guard.nonfinite == "back" and self._batch is None

    def _report(self, step: int, line: str) -> None:
        self._run.log(line)
        if self._run.journal is not None:
            self._run.journal.note(line, step)

    def _stop(self, step: int) -> NoReturn:
        self._end(
            step,
            f"Training stopped before the update of step {step}: {self._offenders()}.",
            f"  The batch: {self._keep_batch(step)}. The weights are those of step {step}; the checkpoints before are "
            "whole.\n"
            "  Other policies: --config.guard.nonfinite=skip (leave the batch out) or back (to the last checkpoint).",
        )

    def _end(self, step: int, what: str, more: str) -> NoReturn:
        """Ends the run, with the line at which the batch's gradient stops being finite."""
        report = self._explained(step)
        found, markdown = (_ONLY_IN_TRAINING,) * 2 if report.ok else (report.shown_on(sys.stderr), report.to_markdown())
        raise UserError(
            f"{what}\n{found}\n{more}",
            exit_code=EXIT_FAILED,
            markdown="\n\n".join([what, markdown, more]),
        )

    def _go_back(self, step: int) -> str:
        run = self._run
        where, offenders = self._keep_batch(step), self._offenders()
        skipped, returns, trained = run.host.skipped_data, run.host.returns, run.clock.trained
        if returns >= run.config.guard.max_skips:
            what = f"and the run went back {returns} times already, as often as config.guard.max_skips allows."
            self._end(step, f"Step {step}: {offenders}, {what}", f"  The batch: {where}")
        bad = data_step(step, skipped)
        run.saver.wait()
        saved = find_start(run.workdir, run.devices, run.log)
        if saved is None:
            what = "and there is no checkpoint to go back to: none could be written."
            self._end(step, f"Step {step}: {offenders}, {what}", f"  The batch: {where}")
        run.go_on_from(saved)
        run.state.halted.assign(0)
        run.host.skipped_data, run.host.returns = sorted({*skipped, bad}), returns + 1
        run.host.trained = trained
        # At once: a run that is killed now must not meet that data again.
        run.save(again=True)
        self._report(
            saved.step,
            f"step {step}: {offenders}; going back to step {saved.step} and leaving out the data of step {bad}. "
            f"The batch: {where}",
        )
        return self.WENT_BACK

    def _offenders(self) -> str:
        state = self._run.state
        names = [v.path for v, bad in zip(state.trainable, state.offenders.numpy(), strict=True) if bad]
        if not names:
            return "the loss is not finite"
        shown = ", ".join(names[:4]) + (", …" if len(names) > 4 else "")
        return f"the gradients of {len(names)} of {len(state.trainable)} variables are not finite ({shown})"

    def _global_batch(self, step: int):
        run = self._run
        if self._batch is not None:
            return {key: tf.convert_to_tensor(value) for key, value in self._batch.items()}
        batches = training_batches(
            run.data.train, run.config, start_step=data_step(step, run.host.skipped_data), steps=1
        )
        return next(iter(batches))

    def _keep_batch(self, step: int) -> str:
        """Writes the global batch, named by its step of the data; returns the path, or why it was not written."""
        folder = os.path.join(self._run.workdir, "bad_batches")
        path = os.path.join(folder, f"step_{data_step(step, self._run.host.skipped_data):08d}.npz")
        if not self._run.devices.chief or os.path.exists(path):
            return path
        try:
            os.makedirs(folder, exist_ok=True)
            if len(os.listdir(folder)) >= _MOST_KEPT:
                return f"not kept, {folder} has {_MOST_KEPT} already"
            content = io.BytesIO()
            np.savez_compressed(content, **{name: value.numpy() for name, value in self._global_batch(step).items()})
            write_whole(path, content.getvalue())
        except OSError as error:
            return f"not kept ({error.strerror}: {path})"
        return path

    def _explained(self, step: int) -> guard.Report:
        """Runs the batch again, once, with the guard looking for the operation and the line."""
        return guard.explain(self._run.forward_loss(self._global_batch(step)), self._run.state.trainable)

    def _warn_of_zeros(self) -> None:
        """Names, once, each variable whose gradient has been exactly zero for so many steps."""
        limit, state = self._run.config.guard.zero_steps, self._run.state
        if not limit:
            return
        streaks, allowed = state.zero_streak.numpy(), self._run.config.guard.allow
        names = [
            v.path
            for v, n in zip(state.trainable, streaks, strict=True)
            if n >= limit and v.path not in self._warned and not any(re.fullmatch(p, v.path) for p in allowed)
        ]
        if names:
            self._warned.update(names)
            shown = ", ".join(names[:6]) + (f", … ({len(names)} in all)" if len(names) > 6 else "")
            self._report(
                self._run.current_step,
                f"warning: the gradient has been exactly zero for {limit} steps, so these do not learn: {shown}\n"
                "  A dead ReLU, a saturated activation or a mask that is always 0 does this; --mode=check names the "
                "line.",
            )
