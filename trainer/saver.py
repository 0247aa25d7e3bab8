"""Saving while training goes on: the copy is taken at once, the file is written by a thread."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from trainer import checkpoint
from trainer.restore import snapshot
from trainer.state import TrainState


class Saver:
    """Saves checkpoints of a run, one at a time.

    Args:
      workdir: of the run.
      keep, keep_best: what `checkpoint.prune` leaves.
      writes: false on workers that are not the chief: they take part in reading variables and write nothing.
      tell: called with a line of text when a save failed; training goes on and the older checkpoints are whole.
    """

    def __init__(self, workdir: str, *, keep: int, keep_best: bool, writes: bool, tell):
        self._workdir, self._keep, self._keep_best = workdir, keep, keep_best
        self._writes, self._tell = writes, tell
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None
        self.last_step: int | None = None

    def save(self, state: TrainState, host: Mapping, *, best: tuple[str, float] | None = None) -> None:
        """Takes a copy of the state and writes it in the background.

        Args:
          state: the run's.
          host: what the host side keeps: numbers, text, lists and mappings.
          best: (metric, score) if this is the best checkpoint so far.
        """
        arrays, step = snapshot(state), int(state.step.numpy())
        self.wait()
        self.last_step = step
        if self._writes:
            self._thread = threading.Thread(
                target=self._write, args=(step, arrays, dict(host), best), name="checkpoint"
            )
            self._thread.start()

    def _write(self, step, arrays, host, best) -> None:
        try:
            checkpoint.write(self._workdir, step, arrays, host)
            if best is not None:
                checkpoint.remember_best(self._workdir, step, *best)
            checkpoint.prune(self._workdir, self._keep, self._keep_best)
        except OSError as error:
            self._failure = error
        except BaseException as error:  # raised again in `wait`: a thread's own traceback reaches nobody
            self._failure = error

    def wait(self) -> bool:
        """Waits for the write under way; returns whether the last one succeeded.

        Raises:
          Exception: whatever but a full or unwritable disk ended it.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        failure, self._failure = self._failure, None
        if failure is None:
            return True
        if not isinstance(failure, OSError):
            raise failure
        self._tell(
            f"warning: the checkpoint of step {self.last_step} could not be written: {failure.strerror or failure}"
            f" ({failure.filename or self._workdir}). The earlier ones are whole; training goes on."
        )
        return False
