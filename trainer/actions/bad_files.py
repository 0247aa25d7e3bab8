"""What data.bad_files="skip" left out: named when it is met, counted at the end, kept in bad_files.json."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence

import numpy as np

from trainer.reporting.records import BAD_FILES_FILE, write_json

# Lines on the terminal; the file has all of them.
_MOST_SHOWN = 10


class BadFiles:
    """The examples of both splits that could not be used, over all workers and over all sessions of the run.

    Args:
      run: the run; where it goes on from a checkpoint, what its file says already is kept and not named again.
    """

    def __init__(self, run):
        self._run = run
        self._path = os.path.join(run.workdir, BAD_FILES_FILE)
        self._sources = {"train": run.data.train}
        if run.data.validation is not None:
            self._sources["validation"] = run.data.validation
        kept = _read(self._path) if run.current_step else {}
        # Split -> name -> reason.
        self._found = {split: _texts(kept.get(split)) for split in self._sources}
        if run.data.problems:
            self._report("warning: files with problems are left out, as data.bad_files=skip says", run.data.problems)
            self._write()

    def report_new(self) -> None:
        """Names what this worker has met since the last call."""
        met = []
        for split, source in self._sources.items():
            for name, reason in sorted(source.skipped.copy().items()):
                if name not in self._found[split]:
                    self._found[split][name] = reason
                    met.append(reason)
        if met:
            self._write()
        new = [reason for reason in met if reason not in self._run.data.problems]
        if new:
            self._report(f"warning: skipped, as {'they' if new[1:] else 'it'} cannot be used", new)

    def report_all(self) -> None:
        """Says how many examples of each split were left out, if any were. All workers have to call it alike."""
        self._gather()
        words = {"train": "training", "validation": "validation"}
        counts = [
            f"{len(self._found[split])} of {len(source)} {words[split]} images"
            for split, source in self._sources.items()
            if self._found[split]
        ]
        if counts:
            self._write()
            names = [name for found in self._found.values() for name in found]
            shown = ", ".join(names[:_MOST_SHOWN]) + (", …" if len(names) > _MOST_SHOWN else "")
            self._run.log(f"Skipped as unusable: {' and '.join(counts)} ({shown}).\n  Why each: {self._path}")

    def _gather(self) -> None:
        """Takes up what other workers met: they say which examples, and why is found out again."""
        devices = self._run.devices
        if devices.workers == 1 or self._run.config.data.bad_files != "skip":
            return
        for split, source in self._sources.items():
            mine = np.array([name in source.skipped for name in source.names], np.float64)
            for index in np.flatnonzero(devices.sum_over_workers(mine)).tolist():
                name = source.names[index]
                if devices.chief and name not in self._found[split]:
                    self._found[split][name] = source.why_unusable(index) or f"{name}: another worker cannot read it."

    def _report(self, what: str, reasons: Sequence[str]) -> None:
        lines = [line for reason in reasons[:_MOST_SHOWN] for line in reason.splitlines()]
        if len(reasons) > _MOST_SHOWN:
            lines.append(f"… and {len(reasons) - _MOST_SHOWN} more, all of them in {self._path}")
        self._run.log(f"{what}:\n  " + "\n  ".join(lines))

    def _write(self) -> None:
        if not self._run.devices.chief:
            return
        try:
            write_json(self._path, {"before_the_first_step": self._run.data.problems, **self._found})
        except OSError as error:
            self._run.log(f"warning: {self._path} cannot be written: {error.strerror}.")


def _read(path: str) -> Mapping:
    """What the file holds; nothing where there is none, or it was damaged: it is a record, and no run hangs on it."""
    try:
        with open(path, encoding="utf-8") as file:
            kept = json.load(file)
    except (OSError, ValueError, RecursionError):
        return {}
    return kept if isinstance(kept, dict) else {}


def _texts(value) -> dict[str, str]:
    return {name: str(reason) for name, reason in value.items()} if isinstance(value, dict) else {}
