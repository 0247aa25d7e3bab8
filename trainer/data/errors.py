"""Errors in a user's data, with the file's name; also recovered from TensorFlow's own errors."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from trainer.data.calls import release
from trainer.errors import EXIT_USAGE, UserError, numbered

# A longer list is cut with the number of the rest: the message on 7000 images without masks must stay readable.
_MOST_LISTED = 100
# Up to this many files with the same fault are named one by one.
_MOST_ALIKE = 3


class DataError(UserError, ValueError):
    """Data that cannot be used: the message names each file and what is wrong with it."""


def shown(path: str | os.PathLike) -> str:
    """A path as text that can be printed, logged and put in a TensorFlow status, whatever bytes it consists of."""
    text = os.fspath(path)
    if isinstance(text, bytes):
        text = os.fsdecode(text)
    if text.isascii() and text.isprintable():
        return text
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def listed(problems: Sequence[str]) -> str:
    """Problems as one text, one shared by many files only once: all, or the first hundred and the number of others."""
    problems = _together(problems)
    kept = list(problems[:_MOST_LISTED])
    if len(problems) > len(kept):
        kept.append(f"… and {len(problems) - len(kept)} more.")
    return numbered(kept)


def _together(problems: Sequence[str]) -> list[str]:
    """Problems of more than a few files that differ only in names and numbers become one."""
    kinds: dict[str, list[str]] = {}
    for problem in problems:
        name, colon, rest = _subject(problem)
        stem = os.path.splitext(os.path.basename(name))[0]
        kind = re.sub(r"\d+", "#", re.sub(r"\S*" + re.escape(stem) + r"[\w.]*", "*", rest) if stem else rest)
        kinds.setdefault(kind if colon else problem, []).append(problem)
    made = []
    for alike in kinds.values():
        if len(alike) <= _MOST_ALIKE:
            made += alike
            continue
        names = ", ".join(_subject(problem)[0] for problem in alike[:3])
        what, first = ("examples", alike[0]) if _ITEM.match(alike[0]) else ("files", _subject(alike[0])[2])
        made.append(f"{len(alike)} {what} alike: {names}, …\n  The first: {first}")
    return made


_ITEM = re.compile(r"(\w+\[\d+\])(?!:)")


def _subject(problem: str) -> tuple[str, str, str]:
    """The parts of a problem: the file, or the item of an object; the separator; and what is wrong."""
    item = _ITEM.match(problem)
    return (item[1], " ", problem[item.end() :]) if item else problem.partition(": ")


# How the kernel behind tf.numpy_function reports a Python exception: "<type>: <message>\nTraceback …".
_IN_STATUS = re.compile(r"\bDataError: (.*?)\n+Traceback \(most recent call last\)", re.DOTALL)


def data_error_from(exception: BaseException) -> DataError | None:
    """The `DataError` that made a step of the input pipeline fail, or None when something else did.

    TensorFlow turns an exception raised inside `tf.numpy_function` into an `InvalidArgumentError` whose text holds the
    message among stack traces; this extracts the message, also when it was raised on another worker. Objects in the
    finished calls of its traceback are freed: see `calls.release`.

    Args:
      exception: raised by iterating over a data set, or by a function that does.
    """
    seen: set[int] = set()
    error: BaseException | None = exception
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, DataError):
            return error
        found = _IN_STATUS.search(str(error))
        if found:
            release(exception)
            return DataError(found.group(1), exit_code=EXIT_USAGE)
        error = error.__cause__ or error.__context__
    return None


def from_pipeline(exception: BaseException) -> bool:
    """Whether an exception was raised while reading the next batch, not while computing with it."""
    return any(name in str(exception) for name in ("IteratorGetNext", "MakeIterator"))
