"""A line now and then while something goes on that would be silent for long."""

from __future__ import annotations

import time
from collections.abc import Callable

from trainer.reporting.terminal import duration

# The first line comes after this many seconds, the next at this distance: short work says nothing.
_SECONDS = 15.0


class Progress:
    """Called with what is done and what there is in all; logs "evaluated 120 of 500, 1:03 left".

    The time left is reckoned from what came after the first call: what is compiled is in the first.

    Args:
      verb: what is done to each.
      log: called with a line.
      now: seconds, monotonic; a test passes its own.

    The time left goes by what came after the first, which has to be prepared for: a graph is traced, files are opened.
    """

    def __init__(self, verb: str, log: Callable[[str], None], *, now: Callable[[], float] = time.monotonic):
        self._verb, self._log, self._now = verb, log, now
        self._last = now()
        self._first: tuple[int, float] | None = None
        self._done = 0

    def __call__(self, done: int, total: int) -> None:
        now = self._now()
        if self._first is None or done <= self._done:  # it begins, or begins again
            self._first = (done, now)
            if self._done:
                self._last = now
        self._done = done
        begun, since = self._first
        if now - self._last < _SECONDS or done >= total:
            return
        self._last = now
        left = f", {duration((now - since) / (done - begun) * (total - done))} left" if done > begun else ""
        self._log(f"  {self._verb} {done} of {total}{left}")
