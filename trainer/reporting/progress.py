"""A line now and then while something goes on that would be silent for long."""

from __future__ import annotations

import time
from collections.abc import Callable

# The first line comes after this many seconds, the next at this distance: short work says nothing.
_SECONDS = 15.0


class Progress:
    """Called with what is done and what there is in all; logs "evaluated 120 of 500, 1:03 left".

    Args:
      verb: what is done to each.
      log: called with a line.
      now: seconds, monotonic; a test passes its own.

    The time left goes by what came after the first, which has to be prepared for: a graph is traced, files are opened.
    """

    def __init__(self, verb: str, log: Callable[[str], None], *, now: Callable[[], float] = time.monotonic):
        self._verb, self._log, self._now = verb, log, now
        self._last = now()
        self._first: tuple[float, int] | None = None
        self._done = 0

    def __call__(self, done: int, total: int) -> None:
        from trainer.reporting.terminal import duration

        now = self._now()
        if self._first is None or done <= self._done:  # it begins, or begins again
            self._first, self._last = (now, done), now if self._done else self._last
        self._done = done
        if now - self._last < _SECONDS or done >= total:
            return
        self._last = now
        since, before = self._first
        left = f", {duration((now - since) / (done - before) * (total - done))} left" if done > before else ""
        self._log(f"  {self._verb} {done} of {total}{left}")
