"""What a run does between steps: report, evaluate, save, stop early. Each is a plain function of the step."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable

from trainer import terminal
from trainer.metrics import Evaluation
from trainer.records import EVALUATION_FILE, METRICS_FILE, MetricsLog, write_json
from trainer.run import Run
from trainer.summaries import Writer


class Telling:
    """Where a run is told: the terminal, metrics.jsonl, TensorBoard. The chief alone tells.

    Made anew where training goes on from a checkpoint: what was told of later steps is dropped.
    """

    def __init__(self, run: Run, workdir: str):
        step, chief = run.step(), run.devices.chief
        self.workdir, self.line = workdir, run.tell
        self.writer = Writer(workdir, chief, restored_step=step)
        self.writer.config_text(run.config)
        self.writer.graph(run.state.model, run.config.data.channels)
        self._log = MetricsLog(os.path.join(workdir, METRICS_FILE), step) if chief else None

    def numbers(self, step: int, kind: str, values: dict[str, float]) -> None:
        """One report: a line of metrics.jsonl and a point of each curve."""
        if self._log is not None:
            self._log.append(step, kind, values)
        self.writer.scalars(step, {f"{kind}/{name}": value for name, value in values.items()})

    def evaluation(self, step: int, evaluation: Evaluation, panels: dict) -> None:
        self.numbers(step, "eval", evaluation.scalars(""))
        self.writer.panels(step, panels)
        self.writer.flush()
        if self._log is not None:
            write_json(os.path.join(self.workdir, EVALUATION_FILE), {"step": step, **evaluation.to_dict()})


class Reporter:
    """Reads the device's totals, the only question in so many steps, and tells them."""

    def __init__(self, run: Run, telling: Telling):
        self._run, self._telling = run, telling

    def __call__(self, step: int) -> None:
        run, state = self._run, self._run.state
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
    """Evaluates, keeps the best score, and says when patience is at an end."""

    def __init__(self, run: Run, score: Callable, telling: Telling):
        self._run, self._score, self._telling = run, score, telling
        self.last: Evaluation | None = None
        self.last_step: int | None = None

    def __call__(self, step: int) -> str | None:
        run, config = self._run, self._run.config
        start = time.monotonic()
        with run.clock.pause():
            run.state.swap_averages()
            self.last, panels = self._score()
            self.last_step = step
            run.state.swap_averages()
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
            run.save(best=(config.evaluate.metric, score))
        if config.evaluate.patience and host.evaluations_since_best >= config.evaluate.patience:
            return (
                f"{config.evaluate.metric} has not risen for {host.evaluations_since_best} "
                f"evaluations: best {host.best_score:.4f} at "
                f"step {host.best_step}"
            )
        return None
