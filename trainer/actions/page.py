"""Writes report.html: after evaluations, and when the run is over."""

from __future__ import annotations

import os
import time

from trainer.reporting.clock import PAGE
from trainer.reporting.description import write_description
from trainer.reporting.page.report import REPORT_FILE, write_report

# At most this share of the time goes into writing the page while the run goes on.
_SHARE = 0.05


class Page:
    """Keeps the page of a run's folder up to date. What goes wrong with it is said, once, and ends nothing.

    Args:
      run: the run; its chief writes.
    """

    def __init__(self, run):
        self._run, self._failed = run, False
        self._began, self._spent = time.monotonic(), 0.0

    def refresh(self, run, step: int) -> None:
        """After an evaluation; left out while writing would take more than a twentieth of the time, and at the end."""
        elapsed = time.monotonic() - self._began
        if step < run.intervals.total and self._spent <= _SHARE * elapsed:
            self.write()

    def write(self, ended: str = "") -> None:
        """Writes it as the run is now; `ended` says why it is over."""
        run = self._run
        if not run.devices.chief:
            return
        began = time.monotonic()
        with run.clock.pause(PAGE):
            try:
                write_description(run, ended)
                write_report(run.workdir)
            except Exception as error:  # a page is not worth a run, whatever is wrong with it or with its libraries
                if not self._failed:
                    what = error.strerror if isinstance(error, OSError) and error.strerror else error
                    path = os.path.join(run.workdir, REPORT_FILE)
                    run.log(f"warning: {path} cannot be written: {type(error).__name__}: {what}")
                self._failed = True
        self._spent += time.monotonic() - began
