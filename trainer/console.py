"""What a run says: lines of the logger "gradline", on standard output unless somebody has set the logger up otherwise.

    logging.getLogger("gradline").setLevel(logging.WARNING)     # silence
    logging.getLogger("gradline").addHandler(my_handler)        # elsewhere, instead of standard output

A line that is lost is not the run's loss: when nobody reads any more (a closed terminal, a full disk under a log file)
the run goes on.
"""

from __future__ import annotations

import logging
import os
import sys

LOGGER = logging.getLogger("gradline")


class _StandardOutput(logging.Handler):
    """Writes to whatever `sys.stdout` is at the moment."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            print(self.format(record), flush=True)
        except OSError:
            # From here on to nowhere, or the interpreter complains again when it flushes at its end. The records of
            # the run (metrics.jsonl, event files, checkpoints) say the same.
            sys.stdout = open(os.devnull, "w", encoding="utf-8")


_DEFAULT = _StandardOutput()


def log(text: str) -> None:
    """Logs a line at level INFO, or WARNING where it begins with "warning:"."""
    _set_up()
    LOGGER.log(logging.WARNING if text.startswith("warning:") else logging.INFO, text)


def silent(text: str) -> None:
    """Workers that are not the chief say nothing twice."""


def _set_up() -> None:
    """Standard output is for those who have not said where the lines go: no handler, no level, nothing at the root."""
    if LOGGER.level == logging.NOTSET:
        LOGGER.setLevel(logging.INFO)
    others = [handler for handler in LOGGER.handlers if handler is not _DEFAULT]
    if others and _DEFAULT in LOGGER.handlers:
        LOGGER.removeHandler(_DEFAULT)
    elif not others and _DEFAULT not in LOGGER.handlers:
        LOGGER.addHandler(_DEFAULT)
        # Or a root handler (a notebook's, pytest's, absl's) would print each line again.
        LOGGER.propagate = False
