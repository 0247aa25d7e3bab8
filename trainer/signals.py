"""SIGTERM, SIGINT, SIGHUP: the step is finished and saved; a second SIGINT stops at once."""

from __future__ import annotations

import os
import signal

# Sent by schedulers, by Ctrl-C, and when the terminal is gone.
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Interruption:
    """Remembers that the process was asked to stop. Use as a context manager around training.

    A signal that the process was started to ignore (SIGHUP under nohup) stays ignored.

    Attributes:
      signal_name: "SIGTERM", "SIGINT" or "SIGHUP" once one has come, else None.
    """

    def __init__(self):
        self.signal_name: str | None = None
        self._before = {}

    def __enter__(self):
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *exception):
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def __bool__(self) -> bool:
        return self.signal_name is not None

    def _on_signal(self, number, frame):
        if self.signal_name is not None and number == signal.SIGINT:
            _say("Stopped at once; the checkpoints written so far are whole.")
            # Threads of TensorFlow may be in the middle of a step: leave without asking them.
            os._exit(128 + signal.SIGINT)
        if self.signal_name is None:
            self.signal_name = signal.Signals(number).name
            _say(f"{self.signal_name}: finishing the step and saving; Ctrl-C once more stops at once.")


def _say(text: str) -> None:
    # Not `print`: the signal may have come in the middle of one, whose buffer must not be entered twice.
    try:
        os.write(1, f"{text}\n".encode())
    except OSError:
        pass  # The terminal is gone, which may be why the signal came.
