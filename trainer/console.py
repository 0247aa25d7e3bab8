"""What a run says: lines of the logger "gradline", on standard output unless the logger is set up otherwise.

    logging.getLogger("gradline").setLevel(logging.WARNING)     # silence but for warnings
    logging.getLogger("gradline").handlers[:] = [my_handler]    # elsewhere

A line that is lost is not the run's loss: when nobody reads any more (a closed terminal, a full disk under a log file)
the run goes on.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator

from configs.reading.line_wrapping import wrapped
from configs.reading.setting_names import named
from trainer.errors import UserError

LOGGER = logging.getLogger("gradline")


class _StandardOutput(logging.Handler):
    """Writes to whatever `sys.stdout` is at the moment; a terminal gets lines of its width, a file whole ones."""

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        try:
            print(wrapped(text) if sys.stdout.isatty() else text, flush=True)
        except OSError:
            # From here on to nowhere, or the interpreter complains again when it flushes at its end. The records of
            # the run (metrics.jsonl, event files, checkpoints) say the same.
            sys.stdout = open(os.devnull, "w", encoding="utf-8")


if LOGGER.level == logging.NOTSET:
    LOGGER.setLevel(logging.INFO)
if not LOGGER.handlers:
    LOGGER.addHandler(_StandardOutput())
    # Or a root handler (a notebook's, absl's) would print each line again.
    LOGGER.propagate = False


def log(text: str) -> None:
    """Logs a line at level INFO, or WARNING where it begins with "warning:"."""
    LOGGER.log(logging.WARNING if text.startswith("warning:") else logging.INFO, text)


@contextlib.contextmanager
def into(path: str) -> Iterator[None]:
    """Inside, lines are added to a file."""
    file = logging.FileHandler(path, encoding="utf-8")
    before, LOGGER.handlers[:] = LOGGER.handlers[:], [file]
    try:
        yield
    finally:
        LOGGER.handlers[:] = before
        file.close()


def silent(text: str) -> None:
    """Workers that are not the chief say nothing twice."""


@contextlib.contextmanager
def naming_settings() -> Iterator[None]:
    """What is raised inside names settings as whoever started the run sets them: by flags, or in Python."""
    try:
        yield
    except UserError as error:
        error.args, error.markdown = (named(str(error)),), named(error.markdown)
        raise
