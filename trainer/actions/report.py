"""What a run does between steps: report, evaluate, save, stop early. Each is a plain function of the step."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable

from trainer.evaluation.metrics import Evaluation
from trainer.reporting import terminal
from trainer.reporting.records import EVALUATION_FILE, METRICS_FILE, MetricsLog, write_json
from trainer.reporting.summaries import Writer
from trainer.run import Run


class Telling:
    """Where a run is told: the terminal, metrics.jsonl, TensorBoard. The chief alone tells.

    Made anew where training goes on from a checkpoint: what was told of later steps is dropped.
    """

    def __init__(self, run: Run, workdir: str):
        step, chief = run.step(), run.devices.chief
        self.workdir, self.line = workdir, run.tell
        self.writer = Writer(workdir, chief, restored_step=step, tell=run.tell)
        self.writer.config_text(run.config)
        self.writer.graph(run.state.model, run.config.data.channels)
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
        self.writer.text("guard", markdown, step)

    def evaluation(self, step: int, evaluation: Evaluation, panels: dict) -> None:
        self.numbers(step, "eval", evaluation.scalars(""))
        self.writer.panels(step, panels)
        if self._log is not None:
            path, content = os.path.join(self.workdir, EVALUATION_FILE), {"step": step, **evaluation.to_dict()}
            self._trying(EVALUATION_FILE, lambda: write_json(path, content))


class Reporter:
    """Reads the device's totals, the only question in so many steps, and tells them."""

    def __init__(self, run: Run, telling: Telling):
        self._run, self._telling = run, telling

    def __call__(self, step: int) -> None:
        run, state = self._run, self._run.state
        if run.host.reported == step:
            return
        run.host.reported = step
        means = run.totals.read()
        rate = run.clock.rate(step)
        values = dict(means)
        values["learning_rate"] = float(state.optimizer.learning_rate.numpy())
        if rate:
            values["images_per_second"] = rate
        values["skipped"] = int(state.skipped.numpy())
        if state.loss_scale.enabled:
            values["loss_scale"] = float(state.loss_scale.scale.numpy())
        left = run.clock.seconds_left(run.plan.total - step, rate)
        more = {}
        if values["skipped"]:
            more["skipped"] = values["skipped"]
        self._telling.line(
            terminal.progress(
                step, run.plan.total, loss=means.get("loss", math.nan), dice=means.get("dice"),
                rate=rate, seconds_left=left, more=more,
            )
        )  # fmt: skip
        self._telling.numbers(step, "train", values)


class Evaluator:
    """Evaluates, keeps the best score, and says when patience is at an end.

    Args:
      run: the run.
      score: of `trainer.evaluation.evaluator.make_evaluator`.
      telling: where the scores are told.
      stop: asked between two images, alike on all workers; when it says yes the evaluation is left, to be made when
        the run goes on.
    """

    # The reason with which it ends the loop when it was stopped.
    STOPPED = "asked to stop"

    def __init__(self, run: Run, score: Callable, telling: Telling, stop: Callable[[], bool]):
        self._run, self._score, self._telling, self._stop = run, score, telling, stop
        self.last: Evaluation | None = None

    def __call__(self, step: int) -> str | None:
        run, config = self._run, self._run.config
        if run.host.evaluated == step:
            return None
        start = time.monotonic()
        with run.clock.pause():
            run.state.swap_averages()
            found = self._score(self._stop)
            run.state.swap_averages()
        if found is None:
            return self.STOPPED
        self.last, panels = found
        run.host.evaluated = step
        score, host = self.last.score(config.evaluate.metric), run.host
        better = not math.isnan(score) and (host.best_score is None or score > host.best_score)
        self._telling.line(
            terminal.evaluated(step, run.plan.total, self.last, seconds=time.monotonic() - start, best=better)
        )
        if better:
            host.best_score, host.best_step, host.evaluations_since_best = score, step, 0
        else:
            host.evaluations_since_best += 1
        self._telling.evaluation(step, self.last, panels)
        if better and config.checkpoint.keep_best:
            run.save(again=True)
        return run.patience_over()
