"""The actions that ship as examples for your own: CSV, a rate that is reduced, a tracker."""

import csv
import sys
import types

import keras
import numpy as np
import pytest

from configs.schema import Augment, Checkpoint, Config, Evaluate, Optimizer, Train
from trainer import Run
from trainer.actions.csv import FILE, write_scores
from trainer.actions.plateau import ReduceOnPlateau
from trainer.actions.tracker import Tracker, installed
from trainer.errors import UserError

IMAGES = np.random.default_rng(0).integers(0, 255, (12, 16, 16, 1)).astype("uint8")


def network(outputs):
    image = keras.Input((None, None, 1))
    return keras.Model(image, keras.layers.Conv2D(outputs, 1)(image / 64 - 2))


def test_rows_and_rates_of_a_run_that_breaks_off_and_goes_on(tmp_path):
    """So low a rate moves no weight, and no score becomes better; the evaluation that is broken off is made again."""
    factors, broken = {}, []

    def note(run, step):
        factors[step] = run.rate_factor
        if step == 8 and not broken:
            broken.append(step)
            raise ValueError("the machine dies")

    def go():
        config = Config(
            train=Train(length="14 steps", batch_size=4),
            augment=Augment(crop=(16, 16)),
            evaluate=Evaluate(every="2 steps"),
            checkpoint=Checkpoint(every="7 steps"),
            optimizer=Optimizer(learning_rate=1e-30, schedule="constant", weight_decay=0.0),
        )
        shipped = [("evaluation", write_scores), ("evaluation", ReduceOnPlateau(factor=0.5, patience=2, lowest=0.25))]
        run = Run(
            config,
            workdir=tmp_path,
            model=network,
            data=(IMAGES, IMAGES[..., 0] // 128),
            actions=[*shipped, ("evaluation", note)],
        )
        return run.train()

    with pytest.raises(UserError, match="the machine dies"):
        go()
    result = go()
    assert result.step == 14
    # The best score is that of step 2: two evaluations later the rate is halved, and not below the lowest.
    assert factors == {2: 1, 4: 1, 6: 0.5, 8: 0.5, 10: 0.25, 12: 0.25, 14: 0.25}
    with open(tmp_path / FILE, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [2, 4, 6, 8, 10, 12, 14]
    assert float(rows[-1]["mean_dice"]) == pytest.approx(result.scores["mean_dice"])


def a_run(tmp_path, **about):
    scores = types.SimpleNamespace(scalars=lambda prefix: {f"{prefix}mean_dice": 0.5})
    about = {"report": {"loss": 0.25}, "report_step": 10, "scores": scores, "scores_step": 10, "memory": {}, **about}
    devices = types.SimpleNamespace(chief=True)
    return types.SimpleNamespace(workdir=str(tmp_path), config=Config(), devices=devices, **about)


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
