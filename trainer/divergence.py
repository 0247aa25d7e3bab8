"""What happens when a gradient is not finite: stop and name it, skip the batch, or go back and leave that data out.

The device decides while training, alike on all replicas, and asks nobody; here the host learns of it after the call,
computes the batch again (data are a function of seed and step), keeps it, and asks the guard for the line.
"""

from __future__ import annotations

import os

import numpy as np

from trainer import checkpoint, guard
from trainer.data import training_batches
from trainer.errors import EXIT_FAILED, UserError
from trainer.plan import data_step
from trainer.restore import restore
from trainer.run import Run


class Divergence:
    """The policy `config.guard.nonfinite`, told after every call to the device."""

    # The reason with which the loop ends when it is to begin again from a checkpoint.
    WENT_BACK = "went back to a checkpoint"

    def __init__(self, run: Run):
        self._run = run
        self._skipped = int(run.state.skipped.numpy())
        self._warned: set[str] = set()

    def after_call(self, step: int) -> str | None:
        """Returns WENT_BACK after going back, else None.

        Raises:
          UserError: the policy ends the run, with what was found; exit code 1.
        """
        state, limit = self._run.state, self._run.config.guard.max_skips
        self._warn_of_zeros()
        if int(state.halted.numpy()):
            return self._go_back(step) if self._run.config.guard.nonfinite == "back" else self._stop(step)
        skipped = int(state.skipped.numpy())
        if skipped > self._skipped and not state.loss_scale.enabled:
            last = int(state.last_skipped.numpy())
            self._run.tell(f"step {last}: skipped, {self._offenders()}; the batch is in {self._keep_batch(last)}")
        self._skipped = skipped
        in_row = int(state.in_row.numpy())
        if in_row > limit:
            scale = (
                f" The loss scale is down to {float(state.loss_scale.scale.numpy()):g}."
                if state.loss_scale.enabled
                else ""
            )
            raise UserError(
                f"{in_row} steps in a row were skipped because of {self._offenders()}: more than "
                "config.guard.max_skips="
                f"{limit}, so nothing is learnt any more.{scale}\n  Lower --config.optimizer.learning_rate (now "
                f"{self._run.config.optimizer.learning_rate:g}), or use --precision=mixed_bfloat16 or float32; "
                "--config.guard.nonfinite=stop names the line.",
                exit_code=EXIT_FAILED,
            )
        return None

    def _stop(self, step: int):
        where = self._keep_batch(step)
        raise UserError(
            f"Training stopped before the update of step {step}: {self._offenders()}.\n{self._explain(step)}\n"
            f"  The batch is kept in {where}. The weights are those of step {step}; the checkpoints before are whole.\n"
            "  Other policies: --config.guard.nonfinite=skip (leave the batch out) or back (to the last checkpoint).",
            exit_code=EXIT_FAILED,
        )

    def _go_back(self, step: int) -> str:
        run = self._run
        where, offenders = self._keep_batch(step), self._offenders()
        bad = data_step(step, run.host.skipped_data)
        run.host.returns += 1
        run.saver.wait()
        saved, _ = checkpoint.read_newest(run.workdir)
        if run.host.returns > run.config.guard.max_skips or saved is None:
            why = "there is no checkpoint to go back to" if saved is None else (
                f"the run went back {run.host.returns - 1} times already, as often as config.guard.max_skips allows"
            )  # fmt: skip
            raise UserError(
                f"Step {step}: {offenders}, and {why}.\n{self._explain(step)}\n  The batch is kept in {where}.",
                exit_code=EXIT_FAILED,
            )
        restore(run.state, saved)
        run.state.halted.assign(0)
        run.host.skipped_data = sorted({*run.host.skipped_data, bad})
        run.saver.last_step = saved.step
        run.tell(
            f"step {step}: {offenders}; going back to step {saved.step} and leaving out the data of "
            f"step {bad}, kept in {where}"
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
        batches = training_batches(
            run.data.train, run.config, start_step=data_step(step, run.host.skipped_data), steps=1
        )
        return next(iter(batches))

    def _keep_batch(self, step: int) -> str:
        """Writes the global batch beside the run; returns the path, or why it could not be written."""
        path = os.path.join(self._run.workdir, "bad_batches", f"step_{step:08d}.npz")
        if self._run.devices.chief:
            try:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                np.savez(path, **{name: value.numpy() for name, value in self._global_batch(step).items()})
            except OSError as error:
                return f"nowhere ({error.strerror}: {path})"
        return path

    def _explain(self, step: int) -> str:
        """Runs the batch again, once, with the guard looking for the operation and the line."""
        run = self._run
        batch = self._global_batch(step)
        report = guard.explain(run.forward_loss(batch), run.state.trainable)
        if report.ok:
            return (
                "  Computed again in one piece the gradients are finite: the overflow comes from the arithmetic of "
                "this precision or from the split over replicas."
            )
        return str(report)

    def _warn_of_zeros(self) -> None:
        """Names, once, each variable whose gradient has been exactly zero for so many steps."""
        limit, state = self._run.config.guard.zero_steps, self._run.state
        if not limit:
            return
        streaks = state.zero_streak.numpy()
        names = [
            v.path for v, n in zip(state.trainable, streaks, strict=True) if n >= limit and v.path not in self._warned
        ]
        if names:
            self._warned.update(names)
            shown = ", ".join(names[:6]) + (f", … ({len(names)} in all)" if len(names) > 6 else "")
            self._run.tell(
                f"warning: the gradient has been exactly zero for {limit} steps, so these do not learn: {shown}\n"
                "  A dead ReLU, a saturated activation or a mask that is always 0 does this; "
                "--mode=check names the line."
            )
