"""Where a run is reported: the terminal, metrics.jsonl, TensorBoard. The chief alone reports."""

from __future__ import annotations

import os
from collections.abc import Callable

from trainer.reporting import tags
from trainer.reporting.records import EVALUATION_FILE, METRICS_FILE, MetricsLog, write_json
from trainer.reporting.summaries import Writer


class Journal:
    """The records of a run from a step on.

    Made anew where training goes on from a checkpoint: what was reported of later steps is dropped.
    """

    def __init__(self, run):
        step, chief = run.current_step, run.devices.chief
        self.workdir, self.line = run.workdir, run.log
        self.writer = Writer(run.workdir, chief, restored_step=step, log=run.log)
        self.writer.config_text(run.config)
        self.writer.graph(run.task, run.config.data.channels)
        self._log, self._failed = None, set()
        if chief:
            self._trying(METRICS_FILE, lambda: self._open_log(step))

    def _open_log(self, step: int) -> None:
        self._log = MetricsLog(os.path.join(self.workdir, METRICS_FILE), step)

    def _trying(self, name: str, write: Callable[[], None]) -> None:
        """A full disk or a read-only folder costs a record, not the run; each file is named once."""
        try:
            write()
        except OSError as error:
            if name not in self._failed:
                self._failed.add(name)
                self.line(f"warning: {os.path.join(self.workdir, name)} cannot be written: {error.strerror}.")

    def numbers(self, step: int, kind: str, values: dict[str, float]) -> None:
        """One report: a line of metrics.jsonl and a point of each curve."""
        if self._log is not None:
            self._trying(METRICS_FILE, lambda: self._log.append(step, kind, values))
        self.writer.scalars(step, {f"{kind}/{name}": value for name, value in values.items()})

    def note(self, markdown: str, step: int | None = None) -> None:
        """What the guard has to say, as text in TensorBoard; without a step, of the one that training goes on from."""
        self.writer.text(tags.GUARD_TEXT, markdown, step)

    def evaluation(self, step: int, scores, panels: dict) -> None:
        self.numbers(step, tags.EVALUATION, scores.scalars(""))
        self.writer.panels(step, panels)
        if self._log is not None:
            path, content = os.path.join(self.workdir, EVALUATION_FILE), {"step": step, **scores.to_dict()}
            self._trying(EVALUATION_FILE, lambda: write_json(path, content))

    def close(self) -> None:
        self.writer.close()
