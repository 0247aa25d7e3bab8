"""The actions that ship as examples for your own: CSV, a rate that is reduced, a tracker."""

import csv
import sys
import types

import pytest

from configs.schema import Config
from trainer.actions.csv import FILE, write_scores
from trainer.actions.plateau import ReduceOnPlateau
from trainer.actions.tracker import Tracker, installed
from trainer.errors import UserError


def a_run(tmp_path, **about):
    scores = types.SimpleNamespace(scalars=lambda prefix: {f"{prefix}mean_dice": about.get("dice", 0.5)})
    about = {
        "report": {"loss": 0.25},
        "report_step": 10,
        "scores": scores,
        "scores_step": 10,
        "memory": {},
        "rate_factor": 1.0,
        "metric": "mean_dice",
        "config": Config(),
        "log": lambda text: None,
        **about,
    }
    devices, host = types.SimpleNamespace(chief=True), types.SimpleNamespace(evaluations_since_best=0)
    return types.SimpleNamespace(workdir=str(tmp_path), devices=devices, host=host, **about)


def test_a_row_an_evaluation_and_none_twice_after_a_restart(tmp_path):
    for step, dice in [(10, 0.5), (20, 0.6), (30, 0.7), (20, 0.65)]:
        write_scores(a_run(tmp_path, dice=dice), step)
    with open(tmp_path / FILE, newline="", encoding="utf-8") as file:
        assert list(csv.DictReader(file)) == [
            {"step": "10", "mean_dice": "0.5"},
            {"step": "20", "mean_dice": "0.65"},
        ]
    write_scores(a_run(tmp_path / "nowhere", scores=None), 10)  # before the first evaluation there is nothing to write


def test_the_rate_is_reduced_after_so_many_evaluations_without_a_better_score_and_not_below_the_lowest(tmp_path):
    run, reduce = a_run(tmp_path), ReduceOnPlateau(factor=0.5, patience=2, lowest=0.25)
    factors = []
    for since_best in (0, 1, 2, 3, 4, 5, 6, 0, 1, 2):
        run.host.evaluations_since_best = since_best
        reduce(run, 10)
        factors.append(run.rate_factor)
    assert factors == [1, 1, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25]


@pytest.mark.parametrize("library", ["mlflow", "wandb"])
def test_a_tracker_sends_what_is_new_and_goes_on_with_its_run(tmp_path, monkeypatch, library):
    opened, sent = [], []

    def start_run(run_id, run_name):
        opened.append(run_id)
        return types.SimpleNamespace(info=types.SimpleNamespace(run_id="abc"))

    def init(id, **about):
        opened.append(id)
        return types.SimpleNamespace(id="abc", log=lambda values, step: sent.append((step, values)))

    module = types.ModuleType(library)
    vars(module).update(
        start_run=start_run,
        set_experiment=lambda name: None,
        log_params=lambda values: None,
        log_metrics=lambda values, step: sent.append((step, values)),
        init=init,
    )
    monkeypatch.setitem(sys.modules, library, module)
    run = a_run(tmp_path, scores_step=20)
    Tracker(library=library)(run, 10)
    Tracker(library=library)(run, 20)  # as after a restart
    assert opened == [None, "abc"]
    assert sent == [(10, {"train/loss": 0.25}), (20, {"eval/mean_dice": 0.5})]


def test_a_tracker_without_a_library_says_which_there_are(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install mlflow, or pip install wandb"):
        installed()
