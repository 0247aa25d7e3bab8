"""Makes sure that Python called from TensorFlow's threads ends before the interpreter does.

A pipeline goes on making batches until its buffers are full, also after an error, a signal or the last step. Once the
interpreter is being finalised a thread that wants to run Python waits for ever, and freeing the iterator waits for that
thread: the process never ends. So the calls are counted, and before that, at exit, refused and waited for.
"""

from __future__ import annotations

import atexit
import gc
import itertools
import sys
import time
import traceback
from collections.abc import Callable

# Without a call for so long the threads have nothing left to do: one waiting for the interpreter gets it within
# milliseconds while this thread sleeps.
_QUIET_SECONDS = 0.1
# A call that takes longer than this (a file on a network that does not answer) is not waited for.
_MOST_SECONDS = 10.0


# No lock: garbage collection in the thread that holds it could free an iterator, and so wait for a call that waits
# for the lock. Single operations on these are atomic.
_begun = itertools.count(1)
_last: list[int] = [0]
_running: list[None] = []
_refused: list[bool] = []


def ending(function: Callable) -> Callable:
    """`function`, for `tf.numpy_function`: counted while it runs, and refused once the program ends."""

    def call(*arguments):
        _last[0] = next(_begun)
        if _refused:
            raise RuntimeError("The program ends.")
        _running.append(None)
        try:
            return function(*arguments)
        finally:
            _running.pop()

    return call


def end_calls() -> None:
    """Refuses further calls, and returns when none is running or waiting. Called at exit; no batch comes after it."""
    if not _last[0]:
        return
    _refused.append(True)
    _free_iterators()
    start = quiet_since = time.monotonic()
    seen = -1
    while time.monotonic() - quiet_since < _QUIET_SECONDS and time.monotonic() - start < _MOST_SECONDS:
        if _running or _last[0] != seen:
            seen, quiet_since = _last[0], time.monotonic()
        time.sleep(0.005)


def release(error: BaseException) -> None:
    """Frees the objects in the finished calls of an error's traceback: the failed iterator, while its threads can end.

    Otherwise it lives as long as the error, or its cycle, and is freed with it: in the last moments of the program, or
    in one of its own threads, which then waits for itself.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _free_iterators() -> None:
    """Frees objects held only by the traceback of the error that ended the program, or by a cycle."""
    last = getattr(sys, "last_traceback", None)
    if last is not None:
        traceback.clear_frames(last)
    gc.collect()


atexit.register(end_calls)
