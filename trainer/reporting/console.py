"""What the program says: lines on standard output, whose loss is not the run's."""

from __future__ import annotations

import os
import sys


def tell(text: str) -> None:
    """Prints at once. When nobody reads any more (a closed terminal, a full disk under a log file) the run goes on."""
    try:
        print(text, flush=True)
    except OSError:
        # From here on to nowhere, or the interpreter complains again when it flushes at its end. The records of the
        # run (metrics.jsonl, event files, checkpoints) say the same.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")


def silent(text: str) -> None:
    """Workers that are not the chief say nothing twice."""
