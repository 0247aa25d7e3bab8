"""Python called from TensorFlow's threads: made to end before the interpreter does.

A pipeline goes on making batches until its buffers are full, also after an error, a signal or the last step. Once the
interpreter is being finalised a thread that wants to run Python waits for ever, and whoever frees the iterator waits
for that thread: the process never ends. So the calls are counted, and at exit, before that, refused and waited for.
"""

from __future__ import annotations

import atexit
import gc
import sys
import threading
import time
import traceback
from collections.abc import Callable

# Without a call for so long, the threads have nothing left to do: whoever is waiting for the interpreter gets it within
# milliseconds while this thread sleeps.
_QUIET_SECONDS = 0.1
# A call that takes longer than this (a file on a network that does not answer) is not waited for.
_MOST_SECONDS = 10.0


class _Calls:
    def __init__(self):
        self.running = 0
        self.begun = 0
        self.refused = False
        self.lock = threading.Lock()


_calls = _Calls()


def ending(function: Callable) -> Callable:
    """`function`, for `tf.numpy_function`: counted while it runs, and refused once the program ends."""

    def call(*arguments):
        with _calls.lock:
            _calls.begun += 1
            if _calls.refused:
                raise RuntimeError("The program ends.")
            _calls.running += 1
        try:
            return function(*arguments)
        finally:
            with _calls.lock:
                _calls.running -= 1

    return call


def end_calls() -> None:
    """Refuses further calls, and returns when none runs and none waits. Called at exit; no batch comes after it."""
    if not _calls.begun:
        return
    with _calls.lock:
        _calls.refused = True
    _free_iterators()
    start = quiet_since = time.monotonic()
    seen = -1
    while time.monotonic() - quiet_since < _QUIET_SECONDS and time.monotonic() - start < _MOST_SECONDS:
        if _calls.running or _calls.begun != seen:
            seen, quiet_since = _calls.begun, time.monotonic()
        time.sleep(0.005)


def _free_iterators() -> None:
    """Frees what only the traceback of the error that ended the program, or a cycle, holds."""
    last = getattr(sys, "last_traceback", None)
    if last is not None:
        traceback.clear_frames(last)
    gc.collect()


atexit.register(end_calls)
