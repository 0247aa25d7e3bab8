"""`--mode=sweep` and `Run.sweep`: trials trained from rung to rung until there is nothing left to try."""

from __future__ import annotations

import dataclasses
import gc
import json
import math
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from configs.reading import fields, sweeps
from configs.reading.recipe import recipe_text
from configs.reading.serialization import differences, from_json, to_json
from configs.reading.setting_names import by_flags
from configs.reading.values import shown
from configs.schema import Config
from configs.sweep import Between, Sweep
from trainer import console
from trainer.actions.evaluate import STOPPED
from trainer.checkpoints.lock import InUse
from trainer.crossvalidation import check_parts
from trainer.data import DataError
from trainer.errors import UserError, numbered
from trainer.reporting import terminal
from trainer.reporting.page.report import REPORT_FILE, write_report
from trainer.reporting.page.sweep import SWEEP_FILE
from trainer.reporting.records import CONFIG_FILE, write_json, write_whole
from trainer.stepping.intervals import make_intervals
from trainer.sweep import halving
from trainer.sweep.drawing import draw, importance
from trainer.sweep.halving import DONE, NEW, WAIT, Trial
from trainer.sweep.study import Study, need_optuna

RECIPE_FILE, LOG_FILE = "recipe.py", "log.txt"
# Where nothing is left but what other processes train, one looks again after so long.
_SECONDS = 1.0
# If so many trials fail and none has come to a score, it is not for their settings.
_FAILURES = 3
# Of the time that the page may take while the sweep goes on.
_SHARE = 0.05
# Fields that say how a trial is scored and make no other scores.
_OF_NONE = ("evaluate.panels", "evaluate.every")


@dataclasses.dataclass(frozen=True)
class SweepResult:
    """Attributes:
    trials: all of them, see `Trial`.
    best: the best of those that have come furthest; None before the first score.
    workdir, config: of the best trial's run: `Run(found.config, workdir=found.workdir, …)` with the same parts is it.
    metric: the score that decides.
    stopped: it was asked to stop before the last; the same call goes on.
    """

    trials: tuple[Trial, ...]
    best: Trial | None
    workdir: str
    config: Config | None
    metric: str
    highest: bool
    stopped: bool = False

    def table(self, most: int = 20) -> str:
        """The trials, those that have come furthest first, the best of them first."""
        ranked = _ranked(self.trials, self.highest)[:most]
        paths = list(self.trials[0].settings) if self.trials else []
        header = ["trial", *(path.rpartition(".")[2] for path in paths), "step", self.metric]
        rows = [[str(t.number), *(_text(t.settings[path]) for path in paths), str(t.step), _state(t)] for t in ranked]
        return terminal.table(header, rows)


def sweep(run, spec: Sweep | str | os.PathLike, stop: Callable[[], bool] = lambda: False) -> SweepResult:
    """Tries settings, in <workdir>/trial_00000, trial_00001, …; a call goes on where an earlier one was stopped.

    Several processes may do so at a time in one workdir.

    Args:
      run: its config, with the drawn settings in it, and its parts are those of each trial.
      spec: the sweep, or the path of its file.
      stop: as for `Run.train`.

    Raises:
      UserError: with everything that is wrong with the sweep; the workdir holds another; Optuna is not installed; or
        every trial fails.
    """
    need_optuna()
    if not isinstance(spec, Sweep):
        spec, problems = sweeps.load(os.fspath(spec))
        if problems:
            raise UserError(numbered(problems))
    if problems := sweeps.problems(spec, run.config, given=run.parts.names(), metrics=run.parts.metrics):
        raise UserError(numbered(problems))
    check_parts(run, "one trial")
    try:
        return _Sweeper(run, sweeps.exact(spec), stop).run_all()
    except OSError as error:
        raise UserError(f"{error.filename or run.workdir} cannot be written: {error.strerror}.") from error


class _Sweeper:
    """What one process does for a sweep."""

    def __init__(self, run, spec: Sweep, stop: Callable[[], bool]):
        end = time.monotonic() + 60 * spec.minutes if spec.minutes else float("inf")
        self._run, self._spec, self._config = run, spec, run.config  # before the data say what they are
        self._began, self._spent = time.monotonic(), 0.0
        self._asked, self._over = stop, lambda: time.monotonic() >= end
        if run.devices.workers > 1:
            raise UserError(
                "The trials of a sweep are trained side by side by processes of their own, not by the workers of a "
                "cluster: start the same command once on each machine, with the same workdir and --strategy=auto."
            )
        if run.data.validation is None:
            raise UserError('A sweep compares scores: data={"train": …, "validation": …} has to name what is scored.')
        if os.path.exists(os.path.join(run.workdir, CONFIG_FILE)):
            raise UserError(f"The workdir {run.workdir!r} holds a run. Choose another for the sweep: --workdir=…")
        self._metric, self._highest = run.metric, run.highest_is_best
        # Too short a run is said before anything is written; in epochs the largest batch makes the fewest steps.
        self._steps(self._config)
        if (batches := spec.ranges.get("train.batch_size")) is not None:
            largest = batches.high if isinstance(batches, Between) else max(batches.values)
            self._steps(fields.replace(self._config, {"train.batch_size": largest}))
        self._study = Study(run.workdir, spec)
        self._check_same(self._study.open(self._about(), self._highest))

    def run_all(self) -> SweepResult:
        run, log = self._run, self._run.log
        log(
            f"Sweep in {run.workdir}: {self._spec.trials} trials of {len(self._spec.ranges)} settings, by "
            f"{self._metric}; trials are compared after "
            f"{', '.join(map(str, self._steps(self._config)[:-1])) or 'all'} of {self._steps(self._config)[-1]} steps."
        )
        stopped = False
        while not stopped:
            if self._stop():
                break
            with self._study.deciding():
                task, rung = self._next()
                held = self._study.claim(task) if isinstance(task, Trial) else None
            if task == DONE:
                break
            if held is None:
                time.sleep(_SECONDS)
                continue
            try:
                stopped = not self._train(task, rung)
            finally:
                held.release()
            gc.collect()  # a run's graphs are circles
            # At most this share of the time goes into the page.
            if self._spent <= _SHARE * (time.monotonic() - self._began):
                self._write()
        return self._end()

    def _stop(self) -> bool:
        return bool(self._asked()) or self._over()

    def _next(self) -> tuple[str | Trial, int]:
        """What to do; a new trial is drawn, and one that goes on is marked so."""
        spec, trials = self._spec, self._study.trials()
        busy = self._study.busy(trials)
        task, rung = halving.decide(trials, busy, count=spec.trials, reduction=spec.reduction, highest=self._highest)
        if task == NEW:
            settings = draw(spec, trials, self._highest)
            return self._study.begin(settings, self._steps(fields.replace(self._config, settings))), 0
        if isinstance(task, Trial) and rung != task.rung:
            self._study.promote(task, rung)
        return (task, rung) if task != WAIT else (WAIT, 0)

    # --- a trial

    def _steps(self, config: Config) -> tuple[int, ...]:
        """The steps of the rungs of a trial with this config."""
        spec, total = self._spec, make_intervals(config, self._run.data.train.length).total
        steps = halving.rungs(total, spec.pauses, spec.reduction)
        # An evaluation as near to the end as this is left to the end.
        if spec.pauses and steps[-2] >= total - max(2, steps[0] // 10):
            raise UserError(
                f"A trial of {total} steps is too short for sweep.pauses={spec.pauses} with "
                f"sweep.reduction={spec.reduction}: fewer pauses, or a longer --config.train.length."
            )
        return steps

    def _config_of(self, trial: Trial) -> Config:
        """The config with the trial's settings; it is evaluated at its rungs, where it would not be anyway."""
        config = fields.replace(self._config, trial.settings)
        every = make_intervals(config, self._run.data.train.length).evaluate_every
        if trial.last and (not every or trial.steps[0] % every):
            config = fields.replace(config, {"evaluate.every": f"{trial.steps[0]} steps"})
        return config

    def _train(self, trial: Trial, rung: int) -> bool:
        """Trains a trial to a rung and notes its score there; False where it was stopped before."""
        folder, target, config = self._study.folder(trial), trial.steps[rung], self._config_of(trial)
        about = ", ".join(f"{path.rpartition('.')[2]}={_text(value)}" for path, value in trial.settings.items())
        self._run.log(f"trial {trial.number} to step {target} of {trial.steps[-1]}: {about}")
        if not self._run.parts.names():
            write_whole(os.path.join(folder, RECIPE_FILE), recipe_text(config).encode())
        began = time.monotonic()
        try:
            with console.into(os.path.join(folder, LOG_FILE)):
                child = self._run.with_config(config, folder)
                paused_at = target if rung < trial.last else float("inf")
                result = child.train(lambda: self._stop() or child.scores_step >= paused_at)
        except (InUse, DataError):
            raise
        except UserError as error:
            if isinstance(error.__cause__, OSError):
                raise  # a full disk, say, which is not for the settings
            self._failed(trial, error)
            return True
        if result.stopped and child.scores_step < paused_at:
            self._run.log(f"trial {trial.number} is stopped at step {result.step}; {_again()} goes on from there.")
            return False
        # One that has ended by itself before a rung has its final score.
        reached = rung if result.stopped else trial.last
        score = result.scores.get(self._metric) if result.stopped else result.best_score
        if score is None or math.isnan(score):
            self._failed(trial, UserError(f"{self._metric} is no number at step {result.step}."))
            return True
        self._study.score(trial, reached, score, result.step)
        seconds = terminal.duration(time.monotonic() - began)
        self._run.log(f"  {self._metric} {score:.4f} at step {result.step}, in {seconds}")
        return True

    def _failed(self, trial: Trial, error: UserError) -> None:
        trials = self._study.trials()
        self._study.fail(trial, str(error))
        first = str(error).splitlines()[0]
        self._run.log(
            f"warning: trial {trial.number} failed: {first} ({os.path.join(self._study.folder(trial), LOG_FILE)})"
        )
        if sum(bool(t.failure) for t in trials) + 1 >= _FAILURES and not any(t.scores for t in trials):
            raise UserError(
                f"{_FAILURES} trials failed and none has come to a score, so it is not for their settings. The last "
                f"one:\n{error}",
                exit_code=error.exit_code,
            ) from error

    # --- what makes it this sweep

    def _about(self) -> dict[str, Any]:
        spec = self._spec
        objects = {name: what for name, what in self._run.parts.names().items() if name != "actions"}
        return {
            "ranges": {path: str(range_) for path, range_ in spec.ranges.items()},
            **{name: getattr(spec, name) for name in ("sampler", "pauses", "reduction", "seed")},
            "objects": json.loads(json.dumps(objects)),
            "config": to_json(self._config),
        }

    def _check_same(self, before: dict[str, Any]) -> None:
        """Raises a UserError where the workdir's sweep is another, with all that differs."""
        now = self._about()
        changed = [
            f"{name}: was {shown(before.get(name))}, now {shown(now[name])}"
            for name in now
            if name != "config" and before.get(name) != now[name]
        ]
        changed += [
            f"config.{d}"
            for d in differences(from_json(before["config"]), self._config)
            if (d.breaks or d.field.startswith("evaluate.")) and d.field not in _OF_NONE
        ]
        if changed:
            raise UserError(
                f"The workdir {self._run.workdir!r} holds another sweep:\n  " + "\n  ".join(changed) + "\n  "
                "Go on with the old values (trials and minutes may differ), or start elsewhere: --workdir=…"
            )

    # --- what is written and said

    def _result(self, trials: Sequence[Trial], stopped: bool = False) -> SweepResult:
        best = halving.best(trials, self._highest)
        workdir, config = ("", None) if best is None else (self._study.folder(best), self._config_of(best))
        return SweepResult(tuple(trials), best, workdir, config, self._metric, self._highest, stopped)

    def _write(self) -> None:
        """sweep.json and report.html, as the journal is now; the trials are not lost with them."""
        run, spec, began = self._run, self._spec, time.monotonic()
        with self._study.deciding():
            trials = self._study.trials()
            busy = self._study.busy(trials)
            best = halving.best(trials, self._highest)
            content = {
                "name": run.config.name,
                "metric": self._metric,
                "highest_is_best": self._highest,
                "wanted": spec.trials,
                **{name: getattr(spec, name) for name in ("sampler", "pauses", "reduction", "seed")},
                "ranges": {path: _range(range_) for path, range_ in spec.ranges.items()},
                "steps": sum(t.step for t in trials),
                "best": best.number if best is not None else None,
                "importance": importance(spec, trials, self._highest),
                "objects": bool(run.parts.names()),
                "trials": [
                    {
                        **dataclasses.asdict(t),
                        "settings": {path: _text(value) for path, value in t.settings.items()},
                        "folder": os.path.basename(self._study.folder(t)),
                        "state": "in training" if t.number in busy else _state_word(t),
                    }
                    for t in _ranked(trials, self._highest)
                ],
            }
            try:
                write_json(os.path.join(run.workdir, SWEEP_FILE), content)
                write_report(run.workdir)
            except Exception as error:  # a page is not worth a sweep, whatever is wrong with it or with its libraries
                run.log(f"warning: {os.path.join(run.workdir, REPORT_FILE)} cannot be written: {error}")
        self._spent += time.monotonic() - began

    def _end(self) -> SweepResult:
        run = self._run
        with self._study.deciding():
            trials = self._study.trials()
            task, _ = halving.decide(
                trials,
                self._study.busy(trials),
                count=self._spec.trials,
                reduction=self._spec.reduction,
                highest=self._highest,
            )
        interrupted = bool(self._asked())
        found = self._result(trials, stopped=interrupted and task != DONE)
        self._write()
        if trials:
            more = f" (the first 20 of {len(trials)})" if len(trials) > 20 else ""
            run.log(f"\n{len(trials)} trials, {sum(t.step for t in trials):,} steps{more}:\n{found.table()}")
        if found.stopped:
            run.log(f"\nStopped: {STOPPED}. {_again().capitalize()} goes on from here.")
        elif task != DONE:
            run.log(f"\nThe {self._spec.minutes:g} minutes are over; {_again()} goes on from here.")
        if found.best is not None:
            run.log(f"\nBest: trial {found.best.number}, {self._metric} {found.best.scores[found.best.reached]:.4f}.")
            if by_flags():
                run.log(terminal.closing(found.workdir))
            else:
                run.log(f"  Its run: Run(found.config, workdir={found.workdir!r}, …), with the parts of this one.")
        run.log(f"The trials beside each other: {os.path.join(run.workdir, REPORT_FILE)}")
        return found


def _again() -> str:
    return "the same command" if by_flags() else "the same sweep"


def _ranked(trials: Sequence[Trial], highest: bool) -> list[Trial]:
    """Those that have come furthest first, of these the best first; without a score last."""
    rungs = sorted({t.reached for t in trials if t.reached is not None}, reverse=True)
    ordered = [t for rung in rungs for t in halving.best_first(trials, rung, highest) if t.reached == rung]
    return ordered + [t for t in trials if t not in ordered]


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _state_word(trial: Trial) -> str:
    if trial.failure:
        return "failed"
    return "ended" if trial.ended else "paused" if trial.paused else "stopped"


def _state(trial: Trial) -> str:
    if trial.reached is None or trial.failure:
        return _state_word(trial)
    return f"{trial.scores[trial.reached]:.4f}"


def _range(range_: Any) -> dict[str, Any]:
    found = dataclasses.asdict(range_)
    return found | {"values": [_text(value) for value in found["values"]]} if "values" in found else found
