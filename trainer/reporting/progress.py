"""Logs a line now and then during long work that would be silent otherwise."""

from __future__ import annotations

import time
from collections.abc import Callable

from trainer.reporting.terminal import duration

# The first line comes after this many seconds, the next at this distance: short work logs nothing.
_SECONDS = 15.0


class Progress:
    """Called with the number done and the total; logs "evaluated 120 of 500, 1:03 left".

    With pixels, done and expected in total, the time left follows from these: "predicted 120 of 500, 14.2 MP/s, 1:03
    left".

    The time left is computed from the calls after the first, which includes compilation.

    Args:
      verb: what was done to each.
      log: called with a line.
      now: seconds, monotonic; a test passes its own.

    The time left is computed from the calls after the first, which includes preparations: a graph is traced, files are
    opened.
    """

    def __init__(self, verb: str, log: Callable[[str], None], *, now: Callable[[], float] = time.monotonic):
        self._verb, self._log, self._now = verb, log, now
        self._last = now()
        self._first: tuple[float, float] | None = None
        self._done = 0.0

    def __call__(self, done: int, total: int, *, pixels: int | None = None, expected: int = 0) -> None:
        now = self._now()
        amount, whole = (done, total) if pixels is None else (pixels, expected)
        if self._first is None or amount < self._done or (pixels is None and amount == self._done):
            # It starts, or starts again.
            self._first = (amount, now)
            if self._done:
                self._last = now
        self._done = amount
        begun, since = self._first
        if now - self._last < _SECONDS or amount >= whole:
            return
        self._last = now
        rate = (amount - begun) / max(now - since, 1e-9)
        speed = ""
        if pixels is not None:
            speed = f", {pixels / 1e6:.0f} of {expected / 1e6:.0f} MP"
            speed += f", {rate / 1e6:.2g} MP/s" if rate > 0 else ""
        left = f", {duration((whole - amount) / rate)} left" if rate > 0 else ""
        self._log(f"  {self._verb} {done} of {total}{speed}{left}")
