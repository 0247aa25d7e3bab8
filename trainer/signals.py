"""SIGTERM, SIGINT, SIGHUP: the step is finished and saved; a second SIGINT stops at once."""

from __future__ import annotations

import os
import signal
import threading

# Sent by schedulers, by Ctrl-C, and when the terminal is gone.
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Interruption:
    """Remembers that the process was asked to stop. Use as a context manager around training, in the main thread.

    A signal that the process was started to ignore (SIGHUP under nohup) stays ignored. Python's own handlers wait until
    the main thread comes back from the device; a thread of its own answers at once, and ends the process at the second
    SIGINT even where a call never comes back.

    Attributes:
      signal_name: "SIGTERM", "SIGINT" or "SIGHUP" once one has come, else None.
    """

    def __init__(self):
        self.signal_name: str | None = None
        self._before = {}

    def __enter__(self):
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._write_end, False)
        self._wakeup_before = signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
        self._watcher = threading.Thread(target=self._watch, name="signals", daemon=True)
        self._watcher.start()
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *exception):
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        os.close(self._write_end)
        self._watcher.join()
        os.close(self._read_end)

    def __bool__(self) -> bool:
        return self.signal_name is not None

    def _on_signal(self, number, frame):
        self._remember(number)

    def _remember(self, number: int) -> None:
        self.signal_name = self.signal_name or signal.Signals(number).name

    def _watch(self) -> None:
        """Reads the numbers of the signals, a byte each, until the pipe is closed."""
        asked = False
        while numbers := os.read(self._read_end, 64):
            for number in numbers:
                if number not in _SIGNALS:
                    continue
                self._remember(number)
                if asked and number == signal.SIGINT:
                    _say("Stopped at once; the checkpoints written so far are whole.")
                    # Threads of TensorFlow may be in the middle of a step: leave without asking them.
                    os._exit(128 + signal.SIGINT)
                if not asked:
                    asked = True
                    name = signal.Signals(number).name
                    _say(f"{name}: finishing the step and saving; Ctrl-C once more stops at once.")


def _say(text: str) -> None:
    # Not `print`: the main thread may be in the middle of one.
    try:
        os.write(1, f"{text}\n".encode())
    except OSError:
        pass  # The terminal is gone, which may be why the signal came.
