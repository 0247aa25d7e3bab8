"""Time: seconds spent training, apart from pauses, and what is left; it goes on where a stopped run left it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable


class Clock:
    """Counts the seconds of training.

    Args:
      images_per_step: the global batch.
      now: seconds, monotonic; a test passes its own.
      trained: seconds already trained in earlier sessions of the run.
    """

    def __init__(self, images_per_step: int, *, now: Callable[[], float] = time.monotonic, trained: float = 0.0):
        self._images, self._now, self._trained = images_per_step, now, trained
        self._since = self._mark_time = now()
        self._paused = 0.0
        self._mark_step: int | None = None
        # Seconds between the last two calls of `rate`.
        self.last_interval = 0.0

    @property
    def trained(self) -> float:
        """Seconds of training, over all sessions, without pauses."""
        return self._trained + self._now() - self._since - self._paused

    @contextlib.contextmanager
    def pause(self):
        """What happens inside (an evaluation, a checkpoint's copy) is not training."""
        start = self._now()
        try:
            yield
        finally:
            spent = self._now() - start
            self._paused += spent
            self._mark_time += spent

    def start_once(self, step: int) -> bool:
        """Rates are counted from here: called after every call to the device, of which the first compiles.

        Returns:
          Whether this was the first.
        """
        first = self._mark_step is None
        if first:
            self._mark_step, self._mark_time = step, self._now()
        return first

    def rate(self, step: int) -> float | None:
        """Images a second since the last call, or None before there is a rate."""
        if self._mark_step is None or step <= self._mark_step:
            return None
        seconds = self._now() - self._mark_time
        self.last_interval = seconds
        rate = (step - self._mark_step) * self._images / seconds if seconds > 0 else None
        self._mark_step, self._mark_time = step, self._now()
        return rate

    def seconds_left(self, steps_left: int, rate: float | None) -> float | None:
        """Seconds to the end at this rate, without the pauses to come."""
        return steps_left * self._images / rate if rate else None
