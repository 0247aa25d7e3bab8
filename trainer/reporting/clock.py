"""Time: seconds of training without pauses, the parts of that, and the time left.

It continues from where a stopped run left it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping

# Parts of the time. In training itself: the first call, which compiles; waiting for batches; and the steps.
STARTING, INPUT, STEPS, EVALUATION, SAVING = "starting", "input", "steps", "evaluation", "saving"
PAGE, OTHER = "page", "other"


class Clock:
    """Counts the seconds of training.

    Args:
      images_per_step: the global batch.
      now: seconds, monotonic; a test passes its own.
      trained: seconds already trained in earlier sessions of the run.
      parts: the value of `parts` at the end of these.
    """

    def __init__(
        self,
        images_per_step: int,
        *,
        now: Callable[[], float] = time.monotonic,
        trained: float = 0.0,
        parts: Mapping[str, float] | None = None,
    ):
        self._images, self._now, self._trained = images_per_step, now, trained
        self._parts = {name: float(seconds) for name, seconds in (parts or {}).items() if name != STEPS}
        self._since = self._mark_time = now()
        self._paused = 0.0
        self._mark_step: int | None = None
        # Seconds between the last two calls of `rate`.
        self.last_interval = 0.0

    @property
    def trained(self) -> float:
        """Seconds of training, over all sessions, without pauses."""
        return self._trained + self._now() - self._since - self._paused

    @property
    def parts(self) -> dict[str, float]:
        """Seconds by part, over all sessions; `STEPS` is the rest of training."""
        steps = self.trained - self._parts.get(STARTING, 0.0) - self._parts.get(INPUT, 0.0)
        return {STEPS: max(0.0, steps), **self._parts}

    def add(self, part: str, seconds: float) -> None:
        """Counts seconds of training for a part of it."""
        self._parts[part] = self._parts.get(part, 0.0) + seconds

    @contextlib.contextmanager
    def pause(self, part: str = OTHER):
        """The time inside (an evaluation, a checkpoint's copy) is not training."""
        start = self._now()
        try:
            yield
        finally:
            spent = self._now() - start
            self._paused += spent
            self._mark_time += spent
            self.add(part, spent)

    def start_once(self, step: int) -> bool:
        """Starts counting rates: called after every call to the device, of which the first compiles.

        Returns:
          Whether this was the first.
        """
        first = self._mark_step is None
        if first:
            self._mark_step, self._mark_time = step, self._now()
            self.add(STARTING, self._mark_time - self._since - self._paused)
        return first

    def rate(self, step: int) -> float | None:
        """Images a second since the last call, or None if there is no rate yet."""
        if self._mark_step is None or step <= self._mark_step:
            return None
        seconds = self._now() - self._mark_time
        self.last_interval = seconds
        rate = (step - self._mark_step) * self._images / seconds if seconds > 0 else None
        self._mark_step, self._mark_time = step, self._now()
        return rate

    def seconds_left(self, steps_left: int, rate: float | None) -> float | None:
        """Seconds to the end at this rate, without pauses."""
        return steps_left * self._images / rate if rate else None
