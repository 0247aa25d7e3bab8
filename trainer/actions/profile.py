"""A profile of some steps, where config.train.profile names them."""

from __future__ import annotations

import os

import tensorflow as tf


class Profile:
    """Starts TensorFlow's profiler at a step and stops it some steps later; both may be called again without harm.

    Args:
      run: its config.train.profile says from which step on and how many; its chief profiles.
    """

    def __init__(self, run):
        self._run, self._active = run, False
        self.first, count = run.config.train.profile
        self.last = self.first + count

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps at which `act` is due; empty without a profile."""
        return (self.first, self.last) if self.last > self.first else ()

    def act(self, step: int) -> None:
        if not self.steps or not self._run.devices.chief:
            return
        if step == self.first and not self._active:
            try:
                tf.profiler.experimental.start(self._run.workdir)
                self._active = True
            except tf.errors.OpError as error:
                self._run.log(f"warning: no profile can be made: {error.message}")
        elif step >= self.last:
            self.close(step)

    def close(self, step: int | None = None) -> None:
        """Writes the profile, also of a run that ends before its last step."""
        if not self._active:
            return
        self._active = False
        try:
            tf.profiler.experimental.stop()
        except (tf.errors.OpError, OSError) as error:
            self._run.log(f"warning: the profile cannot be written: {error}")
            return
        end = f"{self.first + 1} to {step}" if step is not None else f"from {self.first + 1} on"
        folder = os.path.join(self._run.workdir, "plugins", "profile")
        self._run.log(
            f"A profile of the steps {end} is in {folder}; to look at it: pip install xprof, then tensorboard."
        )
