"""Which line of the user's own code made an op: Python frames and TensorFlow tracebacks, without those of libraries."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import gc
import linecache
import os
import sys
import sysconfig
from collections.abc import Iterable
from types import CodeType, FrameType, FunctionType

import keras
import tensorflow as tf

from ..words.source import spelled_line

_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep  # all of the guard
_REAL = os.path.realpath(_HERE) + os.sep
_LIBRARIES = tuple(
    os.path.realpath(folder) + os.sep
    for folder in (
        os.path.dirname(tf.__file__),
        os.path.dirname(keras.__file__),
        sysconfig.get_paths()["stdlib"],
        sysconfig.get_paths()["platstdlib"],
    )
)
_OPTIMIZERS = os.path.join("keras", "src", "optimizers", "")
_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


@dataclasses.dataclass(frozen=True)
class Site:
    """A place in the user's code: the file, the line (1-based), and the columns of the expression where known."""

    file: str
    line: int
    columns: tuple[int, int] | None = None

    @property
    def code(self) -> str:
        """The text of the line, without indentation."""
        return linecache.getline(self.file, self.line).strip()


@functools.cache
def is_user_file(file: str) -> bool:
    """Whether a reader would call this file their own: no library, no part of Python, no part of the guard."""
    if file.startswith("<") and not file.startswith("<ipython"):
        return file in ("<stdin>",)
    path = os.path.realpath(file)
    if path.startswith(_REAL) or any(part in path for part in _INSTALLED):
        return False
    return not path.startswith(_LIBRARIES)


# A frame in short: enough to find line and columns later, without keeping the frame's variables alive.
Step = tuple[CodeType, int]


def user_steps(frame: FrameType | None, until: CodeType | None) -> tuple[Step, ...]:
    """The user's frames from `frame` outwards, innermost first, up to the frame that runs `until`."""
    steps = []
    while frame is not None and frame.f_code is not until:
        if is_user_file(frame.f_code.co_filename):
            steps.append((frame.f_code, frame.f_lasti))
        frame = frame.f_back
    return tuple(steps)


def site_of(steps: Iterable[Step]) -> Site | None:
    """The innermost of the user's frames, as a place."""
    for code, offset in steps:
        return _place(code, offset)
    return None


def site_of_operation(operation: tf.Operation) -> Site | None:
    """The user's innermost line that built a graph operation; a traceback of TensorFlow has no columns."""
    name, vectorized, _ = operation.name.partition("/pfor/")
    if vectorized:  # tf.vectorized_map builds the loop's body first, and converts it op by op
        with contextlib.suppress(KeyError, ValueError):
            return site_of_operation(operation.graph.get_operation_by_name(name))
    for file, line, *_ in reversed(list(operation.traceback or ())):
        if file.startswith(_HERE):  # the guard itself ran the user's function; frames outside of it are not the user's
            return None
        if _is_rewritten(file):
            file, line = _before_rewriting(file).get(line, (None, None))
        if file and is_user_file(file):
            return Site(file, spelled_line(file, line, operation.type))
    return None


def is_of_optimizer(operation: tf.Operation | None) -> bool:
    """Whether a graph operation was made by a Keras optimizer."""
    frames = operation.traceback or () if operation is not None else ()
    return any(_OPTIMIZERS in file for file, *_ in frames)


def site_of_error(error: BaseException) -> Site | None:
    """The user's innermost line on the way to an error."""
    # AutoGraph runs rewritten code; its errors carry a map to the original lines, without a public name.
    for frame in getattr(getattr(error, "ag_error_metadata", None), "translated_stack", ()):
        if is_user_file(frame.filename) and not _is_rewritten(frame.filename):
            return Site(frame.filename, frame.lineno)
    steps, traceback = [], error.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if code.co_filename.startswith(_HERE):
            steps.clear()
        elif is_user_file(code.co_filename) and not _is_rewritten(code.co_filename):
            steps.append((code, traceback.tb_lasti))
        traceback = traceback.tb_next
    return site_of(reversed(steps))


def _is_rewritten(file: str) -> bool:
    return "__autograph_generated_file" in file


@functools.lru_cache(maxsize=256)
def _before_rewriting(file: str) -> dict[int, tuple[str, int]]:
    """The user's place for each line that AutoGraph wrote. TensorFlow maps them itself, but not in replica threads."""
    for thing in gc.get_objects():
        if type(thing) is FunctionType and thing.__code__.co_filename == file:
            origins = getattr(thing, "ag_source_map", None)
            if origins:
                return {
                    spot.lineno: (origin.loc.filename, origin.loc.lineno)
                    for spot, origin in origins.items()
                    if spot.filename == file
                }
    return {}


def _place(code: CodeType, offset: int) -> Site:
    if sys.version_info >= (3, 11):
        positions = list(code.co_positions())
        if offset // 2 < len(positions):
            line, end_line, first, last = positions[offset // 2]
            if line is not None:
                whole = first is not None and last is not None and end_line == line
                return Site(code.co_filename, line, (first, last) if whole else None)
    line = code.co_firstlineno
    for start, end, number in code.co_lines():
        if start <= offset < end and number is not None:
            line = number
    return Site(code.co_filename, line)
