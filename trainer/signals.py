"""SIGTERM and SIGINT: the step is finished and saved; a second SIGINT stops at once."""

from __future__ import annotations

import os
import signal


class Interruption:
    """Remembers that the process was asked to stop. Use as a context manager around training.

    Attributes:
      signal_name: "SIGTERM" or "SIGINT" once one has come, else None.
    """

    def __init__(self, tell):
        self.signal_name: str | None = None
        self._tell, self._before = tell, {}

    def __enter__(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *exception):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def __bool__(self) -> bool:
        return self.signal_name is not None

    def _on_signal(self, number, frame):
        if self.signal_name is not None and number == signal.SIGINT:
            self._tell("Stopped at once; the checkpoints written so far are whole.")
            # Threads of TensorFlow may be in the middle of a step: leave without asking them.
            os._exit(128 + signal.SIGINT)
        self.signal_name = signal.Signals(number).name
        self._tell(f"{self.signal_name}: finishing the step and saving; once more Ctrl-C stops at once.")
