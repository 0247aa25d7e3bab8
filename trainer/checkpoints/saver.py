"""Saving while training goes on: the state is copied at once, and a thread writes the file."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from trainer.checkpoints import folder as checkpoint
from trainer.checkpoints.restore import snapshot
from trainer.stepping.state import TrainState


class Saver:
    """Saves checkpoints of a run, one at a time.

    Args:
      workdir: of the run.
      keep: how many of the newest checkpoints are kept.
      keep_best: whether the one of `host["best_step"]` is kept as well.
      metric: the name of the score, for best.json.
      writes: false on workers that are not the chief: they take part in reading variables and write nothing.
      log: called with a line of text when a save failed; training goes on and the older checkpoints are whole.

    Attributes:
      last_step: of the last checkpoint begun, or restored; None after a save that failed, so that it is tried again.
    """

    def __init__(
        self, workdir: str, *, keep: int, keep_best: bool, metric: str, writes: bool, log: Callable[[str], None]
    ):
        self._workdir, self._keep, self._keep_best, self._metric = workdir, keep, keep_best, metric
        self._writes, self._log = writes, log
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None
        self.last_step: int | None = None

    def save(self, state: TrainState, host: Mapping) -> None:
        """Takes a copy of the state and writes it in the background.

        Args:
          state: the run's.
          host: the host's state: numbers, text, lists and mappings, with "best_step" and "best_score".
        """
        arrays, step = snapshot(state), int(state.step.numpy())
        self.wait()
        self.last_step = step
        if self._writes:
            self._thread = threading.Thread(target=self._write, args=(step, arrays, dict(host)), name="checkpoint")
            self._thread.start()

    def _write(self, step: int, arrays: Mapping, host: Mapping) -> None:
        try:
            checkpoint.write(self._workdir, step, arrays, host)
            best = host["best_step"] if self._keep_best else None
            checkpoint.mark_best(self._workdir, best, self._metric, host["best_score"])
            checkpoint.prune(self._workdir, self._keep, best)
        except BaseException as error:  # raised again in `wait`: nobody sees a thread's own traceback
            self._failure = error

    def wait(self) -> bool:
        """Waits for the write under way; returns whether it succeeded.

        Raises:
          Exception: whatever ended it, except a full or unwritable disk.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        failure, self._failure = self._failure, None
        if failure is None:
            return True
        step, self.last_step = self.last_step, None
        if not isinstance(failure, OSError):
            raise failure
        self._log(
            f"warning: the checkpoint of step {step} could not be written: {failure.strerror or failure} "
            f"({failure.filename or self._workdir}). The earlier ones are whole."
        )
        return False
