"""How long the doctor may take."""

from __future__ import annotations

import dataclasses
import time


@dataclasses.dataclass
class Clock:
    """How long the doctor may take, counted from the clock's creation.

    `seconds` of its own work; on a machine busy with other programs, up to half as much again.
    """

    seconds: float
    began: float = dataclasses.field(default_factory=time.monotonic)
    worked: float = dataclasses.field(default_factory=time.process_time)

    @property
    def left(self) -> float:
        wall, work = time.monotonic() - self.began, time.process_time() - self.worked
        return self.seconds - max(wall / 1.5, min(wall, work))

    def share(self, part: float) -> float:
        """The point in time when a part of what is left will have passed."""
        return time.monotonic() + max(0.3, self.left * part)
