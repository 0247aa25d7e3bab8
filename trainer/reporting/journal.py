"""Writes the reports of a run: terminal, metrics.jsonl, TensorBoard. Only the chief reports."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from trainer.reporting import tags
from trainer.reporting.evaluation_record import CROPS_FILE, PICTURES, write_evaluation, write_picture
from trainer.reporting.records import EVALUATION_FILE, GUARD_FILE, METRICS_FILE, MetricsLog
from trainer.reporting.tensorboard.crops import training_crops
from trainer.reporting.tensorboard.summaries import Writer


class Journal:
    """The records of a run from a step on.

    A new one is made when training goes on from a checkpoint: reports of later steps are dropped.
    """

    def __init__(self, run):
        step, chief = run.current_step, run.devices.chief
        self.workdir, self.line = run.workdir, run.log
        self.writer = Writer(run.workdir, chief, restored_step=step, log=run.log)
        self._step, self._log, self._notes, self._failed = step, None, None, set()
        if chief:
            self._trying(METRICS_FILE, lambda: self._open_logs(step))

    def _open_logs(self, step: int) -> None:
        self._notes = MetricsLog(os.path.join(self.workdir, GUARD_FILE), step)
        self._log = MetricsLog(os.path.join(self.workdir, METRICS_FILE), step)

    def opening(self, run) -> None:
        """Reports what does not change: the config, the graph, pictures of training crops; these once in a run."""
        self.writer.config_text(run.config)
        self.writer.settings(run.config, run.data.classes)
        self.writer.graph(run.task, run.config.data.channels)
        if self._log is not None and not self._step and (crops := training_crops(run)) is not None:
            path = os.path.join(self.workdir, PICTURES, CROPS_FILE)
            self._trying(f"{PICTURES}/{CROPS_FILE}", lambda: write_picture(path, crops))
            self.writer.images(0, {tags.CROPS: crops})

    def _trying(self, name: str, write: Callable[[], None]) -> None:
        """Inside, a full disk or a read-only folder loses a record, but not the run; each file is named once."""
        try:
            write()
        except OSError as error:
            if name not in self._failed:
                self._failed.add(name)
                self.line(f"warning: {os.path.join(self.workdir, name)} cannot be written: {error.strerror}.")

    def numbers(self, step: int, kind: str, values: dict[str, float]) -> None:
        """Writes a report: a line of metrics.jsonl and a point of each curve."""
        if self._log is not None:
            self._trying(METRICS_FILE, lambda: self._log.append(step, kind, values))
        self.writer.scalars(step, {f"{kind}/{name}": value for name, value in values.items()})

    def note(self, markdown: str, step: int | None = None) -> None:
        """Writes a report of the guard: a line of guard.jsonl, and text in TensorBoard.

        Without a step it belongs to the one that training goes on from.
        """
        self.writer.text(tags.GUARD_TEXT, markdown, step)
        if self._notes is not None:
            at = self._step if step is None else step
            self._trying(GUARD_FILE, lambda: self._notes.append(at, "guard", {"text": markdown}, again=True))

    def evaluation(self, step: int, scores, pictures: Sequence = ()) -> None:
        """Writes the scores: a line of metrics.jsonl, evaluation.json with its pictures, and TensorBoard's records."""
        self.numbers(step, tags.EVALUATION, scores.scalars(""))
        self.writer.evaluation(step, scores, pictures)
        if self._log is not None:
            self._trying(EVALUATION_FILE, lambda: write_evaluation(self.workdir, step, scores, pictures))

    def close(self) -> None:
        self.writer.close()
