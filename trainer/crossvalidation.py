"""`Run.crossvalidate`: a run for each fold, and the scores of all examples, each by the network that has not seen
it."""

from __future__ import annotations

import dataclasses
import math
import os
import statistics
from collections.abc import Callable, Mapping, Sequence

import keras

from configs.reading import fields
from configs.reading.folders import FOLDS_FILE
from trainer.errors import UserError
from trainer.reporting.records import write_json, write_rows
from trainer.stepping.task import Task

FILE, ROWS = FOLDS_FILE, "crossvalidation.csv"


@dataclasses.dataclass(frozen=True)
class CrossValidation:
    """The scores of the folds.

    folds: for each fold the names and values of its scores; empty of folds that were not trained to their end.
    scores: name -> mean over all examples, each scored by the run that held it out; `mean_dice` and `mean_iou` are the
      means of the scored classes' scores.
    rows: for each example its fold, its name and its scores.
    stopped: it was stopped before all folds were done; the same call goes on.
    """

    folds: tuple[Mapping[str, float], ...]
    scores: Mapping[str, float]
    rows: tuple[Mapping[str, float | str | int], ...]
    stopped: bool = False

    def table(self) -> str:
        """Each score over all examples, and its mean and deviation over the folds."""
        width = max(len(name) for name in ["score", *self.scores])
        lines = [f"{'score':<{width}}  {'out of fold':>11}  {'mean of folds':>13}  {'deviation':>9}"]
        for name, value in self.scores.items():
            values = [fold[name] for fold in self.folds if not math.isnan(fold.get(name, math.nan))]
            if not values:
                continue
            spread = f"{statistics.stdev(values):9.4f}" if len(values) > 1 else f"{'':>9}"
            lines.append(f"{name:<{width}}  {value:11.4f}  {statistics.fmean(values):13.4f}  {spread}")
        return "\n".join(lines)


def crossvalidate(run, stop: Callable[[], bool] = lambda: False) -> CrossValidation:
    """Trains and scores a run for each of `config.data.folds` folds, in <workdir>/fold_0, fold_1, …

    A fold whose run has ended is only scored again; the files hold the results so far.

    Args:
      run: its config and parts are those of each fold's run.
      stop: as for `Run.train`.

    Raises:
      UserError: data.folds is 0, or a part is an object that one run would pass on to the next.
    """
    folds = run.config.data.folds
    if folds < 2:
        raise UserError("data.folds says how many runs there are to be: --config.data.folds=5.")
    check_parts(run, "one fold")
    scored, rows = [], []
    for fold in range(folds):
        if stop():
            return _written(run, scored, rows, stopped=True)
        run.log(f"\nFold {fold} of {folds}: {fold_workdir(run, fold)}")
        child = fold_run(run, fold)
        if child.train(stop).stopped:
            return _written(run, scored, rows, stopped=True)
        evaluation = child.evaluate()
        scored.append(evaluation)
        rows += [{"fold": fold, **row} for row in getattr(evaluation, "rows", ())]
        found = _written(run, scored, rows)
    run.log(f"\n{folds} folds, {len(rows)} examples, each scored by the run that had not seen it:\n{found.table()}")
    run.log(f"Written to {os.path.join(run.workdir, FILE)}; a row an example: {os.path.join(run.workdir, ROWS)}")
    return found


def fold_workdir(run, fold: int) -> str:
    """The workdir of a fold's run."""
    return os.path.join(run.workdir, f"fold_{fold}")


def fold_run(run, fold: int):
    """A run with the same config and parts that holds out one fold, in its own workdir."""
    return run.with_config(fields.replace(run.config, {"data.fold": fold}), fold_workdir(run, fold))


def check_parts(run, one: str) -> None:
    """Refuses parts that would be trained by one of several runs and passed on to the next; `one` names such a run.

    Raises:
      UserError: there are such parts.
    """
    wrong = []
    for name, what, remedy in (
        ("model", keras.Model, "a function that makes it"),
        ("optimizer", keras.optimizers.Optimizer, "its class, or a function that makes it"),
        ("task", Task, "its class"),
    ):
        if isinstance(getattr(run.parts, name), what):
            wrong.append(f"{name}= is an object, which {one} would hand on, trained, to the next: write {remedy}.")
    if wrong:
        raise UserError("\n".join(wrong))


def _written(run, scored: Sequence, rows: Sequence[Mapping], stopped: bool = False) -> CrossValidation:
    scores = _scores(scored, rows)
    found = CrossValidation(tuple(e.scalars("") for e in scored), scores, tuple(rows), stopped)
    if scored and run.devices.chief:
        content = {"folds": found.folds, "scores": scores, "of": run.config.data.folds}
        try:
            write_json(os.path.join(run.workdir, FILE), content)
            if rows:
                write_rows(os.path.join(run.workdir, ROWS), rows)
        except OSError as error:
            raise UserError(f"{error.filename or run.workdir} cannot be written: {error.strerror}.") from error
    return found


def _scores(scored: Sequence, rows: Sequence[Mapping]) -> dict[str, float]:
    """Means over the examples of all folds; of tasks without rows, over the folds."""
    if not scored:
        return {}
    if not rows:
        names = scored[0].scalars("")
        return {name: statistics.fmean(e.scalars("")[name] for e in scored) for name in names}
    means = {name: _mean([row[name] for row in rows]) for name in rows[0] if name not in ("fold", "name")}
    for kind in ("dice", "iou"):
        means[f"mean_{kind}"] = _mean([means[f"{kind}/{name}"] for name in scored[0].scored])
    return {name: value for name, value in means.items() if not math.isnan(value)}


def _mean(values: Sequence[float]) -> float:
    counted = [value for value in values if not math.isnan(value)]
    return statistics.fmean(counted) if counted else math.nan
