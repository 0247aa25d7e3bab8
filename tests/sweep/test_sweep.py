"""Whole sweeps: paused trials go on bit for bit, kills cost nothing, the same command goes on, pages and tables."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

import main
from configs.schema import Augment, Config, Evaluate, Model, Train
from configs.sweep import Sweep, between, one_of
from tests.program.test_survive import ending
from trainer import Run, UserError, console
from trainer.checkpoints import folder as checkpoint
from trainer.reporting.page.report import write_report
from trainer.reporting.records import read_metrics
from trainer.sweep.sweep import sweep

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_SOURCE = """
import numpy as np


def data(section):
    random = np.random.default_rng(0)
    labels = (random.uniform(size=(8, 16, 16)) > 0.5).astype("uint8")
    return (random.normal(60, 5, (8, 16, 16)) + 80 * labels).astype("uint8"), labels
"""
_RECIPE = """
from configs.schema import Augment, Config, Data, Evaluate, Model, Optimizer, Train


def get_config():
    return Config(
        name="squares",
        data=Data(source="squares_source:data"),
        model=Model(width=2, depth=1, dropout=0.2),
        augment=Augment(crop=(16, 16)),
        optimizer=Optimizer(ema_decay=0.9),
        train=Train(length="8 steps", batch_size=2, log_every="3 steps", histograms="0 steps"),
        evaluate=Evaluate(every="0 steps", panels=0),
    )
"""
_SWEEP = """
from configs.sweep import Sweep, between, one_of


def get_sweep():
    ranges = {
        "optimizer.learning_rate": between(1e-3, 1e-1, log=True),
        "augment.crop": one_of((16, 16), (8, 8)),
    }
    return Sweep(ranges=ranges, trials=3, pauses=1, reduction=2)
"""
COMMAND = ["--mode=sweep", "--config=squares.py", "--sweep=ranges.py"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a recipe, data and ranges, in which the commands are given."""
    folder = tmp_path_factory.mktemp("home")
    for name, text in (("squares_source.py", _SOURCE), ("squares.py", _RECIPE), ("ranges.py", _SWEEP)):
        (folder / name).write_text(text, encoding="utf-8")
    before = os.getcwd()
    os.chdir(folder)
    yield folder
    os.chdir(before)


@pytest.fixture(scope="module")
def asked(home):
    """What a sweep says that is asked to stop in its second trial's third step, and its exit code."""
    log, said = console.log, []

    def logging(text):
        said.append(text)
        log(text)
        if text.startswith("step 3/8") and os.path.isdir("done/trial_00001"):
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(console, "log", logging)
        code = main.main(["main.py", *COMMAND, "--workdir=done"])
    return code, "\n".join(said)


@pytest.fixture(scope="module")
def done(home, asked):
    """The same command again: 3 trials, paused after 4 of 8 steps; the best of them goes on to the end."""
    assert main.main(["main.py", *COMMAND, "--workdir=done"]) == 0
    return home / "done"


def trials_of(workdir):
    content = json.loads((pathlib.Path(workdir) / "sweep.json").read_text(encoding="utf-8"))
    return {trial["number"]: trial for trial in content["trials"]}, content


@pytest.mark.slow
def test_asked_to_stop_it_ends_with_75(asked, done):
    code, said = asked
    assert code == 75 and "Stopped: asked to stop. The same command goes on from here." in said
    assert re.search(r"trial 1 is stopped at step 4; the same command goes on from there", said)
    assert "Resuming at step 4" in (done / "trial_00001" / "log.txt").read_text(encoding="utf-8")


def test_the_better_are_trained_to_their_end(done):
    trials, content = trials_of(done)
    assert sorted(trials) == [0, 1, 2] and content["steps"] == sum(t["step"] for t in trials.values())
    for trial in trials.values():
        lines = [r for r in read_metrics(done / trial["folder"] / "metrics.jsonl") if r["kind"] == "eval"]
        assert trial["scores"]["0"] == lines[0]["mean_dice"] and lines[0]["step"] == 4
        assert [line["step"] for line in lines] == [4, 8] if trial["state"] == "ended" else [4]
    first = {number: trial["scores"]["0"] for number, trial in trials.items()}
    assert trials[max(first, key=first.get)]["state"] == "ended"
    assert {trial["state"] for trial in trials.values()} == {"ended", "paused"}
    assert not (done / "config.json").exists() and (done / "study.journal").exists()


@pytest.mark.slow
def test_a_trial_that_was_paused_is_bit_for_bit_the_run_that_never_was(done):
    trials, content = trials_of(done)
    best = done / trials[content["best"]]["folder"]
    assert "Resuming at step 4" in (best / "log.txt").read_text(encoding="utf-8")
    assert main.main(["main.py", f"--config={best}/recipe.py", "--workdir=alone"]) == 0
    paused, whole = (checkpoint.find(str(place), "latest").arrays for place in (best, "alone"))
    assert paused.keys() == whole.keys() and len(paused) > 10
    for name, values in paused.items():
        np.testing.assert_array_equal(values, whole[name], err_msg=name)
    assert ending(best) == ending("alone")


def test_the_page_has_the_trials_and_the_commands(done):
    trials, content = trials_of(done)
    text = (done / "report.html").read_text(encoding="utf-8")
    for trial in trials.values():
        assert f'<a href="{trial["folder"]}/report.html">{trial["number"]}</a>' in text
        score = trial["scores"].get("1", trial["scores"]["0"])
        assert f'<data value="{score!r}">{score:.4f}</data>' in text
    assert text.count("<svg ") == 2 + len(content["ranges"]) and "mean_dice by trial" in text
    best = f"done/{trials[content['best']]['folder']}"
    assert f"python main.py --workdir={best} --mode=export" in text and f"--config={best}/recipe.py" in text
    (done / "report.html").unlink()
    assert main.main(["main.py", "--mode=report", "--workdir=done"]) == 0
    assert (
        (done / "report.html").read_text(encoding="utf-8")
        == text
        == pathlib.Path(write_report("done")).read_text(encoding="utf-8")
    )


def test_tensorboard_has_a_row_a_trial(done):
    from tensorboard.backend.event_processing import plugin_event_multiplexer
    from tensorboard.plugins.hparams import plugin_data_pb2

    multiplexer = plugin_event_multiplexer.EventMultiplexer().AddRunsFromDirectory(str(done))
    multiplexer.Reload()
    trials, _ = trials_of(done)
    groups = set()
    for trial in trials.values():
        content = multiplexer.PluginRunToTagToContent("hparams")[trial["folder"]]["_hparams_/session_start_info"]
        start = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info
        groups.add(start.group_name)
        rate = start.hparams["optimizer.learning_rate"].number_value
        assert f"{rate:g}" == trial["settings"]["optimizer.learning_rate"]
        assert "eval/mean_dice" in multiplexer.PluginRunToTagToContent("scalars")[trial["folder"]]
    assert groups == {f"done/{trial['folder']}" for trial in trials.values()}


def test_what_is_done_is_not_done_again(done, capsys):
    before = trials_of(done)
    assert main.main(["main.py", *COMMAND, "--workdir=done"]) == 0
    said = capsys.readouterr().out
    assert "3 trials, " in said and " to step " not in said and "Best: trial " in said
    assert trials_of(done) == before


def test_another_sweep_in_the_same_workdir_is_refused(done, home, capsys):
    (home / "other.py").write_text(
        _SWEEP.replace("1e-1", "2e-1").replace("reduction=2", "reduction=3, seed=1"), encoding="utf-8"
    )
    command = ["main.py", *COMMAND[:2], "--sweep=other.py", "--workdir=done", "--config.model.width=4"]
    assert main.main([*command, "--config.evaluate.mirror"]) == 2
    said = capsys.readouterr().err
    for part in (
        "holds another sweep",
        "reduction: was 2, now 3",
        "seed: was 0, now 1",
        "between(0.001, 0.2, log=True)",
    ):
        assert part in said
    assert "config.model.width: was 2, now 4" in said and "config.evaluate.mirror: was False, now True" in said


def test_a_workdir_with_a_run_in_it_is_refused(done, capsys):
    assert main.main(["main.py", *COMMAND, "--workdir=done/trial_00000"]) == 2
    assert "holds a run. Choose another for the sweep" in capsys.readouterr().err


def started(workdir):
    command = [sys.executable, os.path.join(ROOT, "main.py"), *COMMAND, f"--workdir={workdir}"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, encoding="utf-8"
    )


def in_training(workdir, trial):
    """Waits until a trial has begun to be trained."""
    path = pathlib.Path(workdir) / f"trial_{trial:05}" / "config.json"
    for _ in range(6000):
        if path.exists():
            return
        time.sleep(0.05)
    raise AssertionError(f"{path} has not come")


@pytest.mark.slow
def test_killed_with_9_nothing_is_lost_and_another_process_takes_it_up(done):
    killed = started("killed")
    try:
        in_training("killed", 1)
        killed.send_signal(signal.SIGKILL)
    finally:
        killed.kill()
        killed.wait()
        killed.stdout.close()
    assert main.main(["main.py", *COMMAND, "--workdir=killed"]) == 0
    assert trials_of("killed") == trials_of(done)


RANDOM = np.random.default_rng(0)
LABELS = (RANDOM.uniform(size=(6, 16, 16)) > 0.5).astype("uint8")
IMAGES = (RANDOM.normal(60, 5, (6, 16, 16)) + 80 * LABELS).astype("uint8")


def run(workdir, **changed):
    config = Config(
        model=Model(width=2, depth=1),
        augment=Augment(crop=(16, 16)),
        train=Train(length="6 steps", batch_size=2, histograms="0 steps"),
        evaluate=Evaluate(panels=0),
    )
    return Run(config, workdir=workdir, data=(IMAGES, LABELS), **changed)


RATES = {"optimizer.learning_rate": between(1e-3, 1e-1, log=True)}


def test_a_trial_that_fails_is_said_and_the_others_go_on(tmp_path, capsys):
    ranges = {"optimizer.learning_rate": one_of(1e-2, 1e30)}
    found = run(tmp_path / "some").sweep(Sweep(ranges=ranges, trials=2, pauses=0))
    assert [bool(trial.failure) for trial in found.trials] == [True, False] and found.best.number == 1
    assert (
        found.best.settings
        == {"optimizer.learning_rate": 1e-2}
        == {path: found.config.optimizer.learning_rate for path in ranges}
    )
    assert "warning: trial 0 failed: " in capsys.readouterr().out
    assert "failed" in found.table() and "Trial 0 failed" in (tmp_path / "some" / "report.html").read_text(
        encoding="utf-8"
    )


def test_when_all_fail_it_is_not_for_their_settings(tmp_path):
    def constant(y_true, y_pred):
        return tf.reduce_mean(tf.stop_gradient(y_pred))

    with pytest.raises(UserError, match="(?s)3 trials failed and none has come to a score.*stop_gradient"):
        run(tmp_path, loss=constant).sweep(Sweep(ranges=RATES, trials=9, pauses=0))


def test_from_python_mistakes_are_said_in_its_words(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="(?s)1. optimizer.rate: there is no such field.*2. seed: "):
        run(tmp_path).sweep(Sweep(ranges={"optimizer.rate": one_of(1, 2), "seed": between(0, 3)}))
    with pytest.raises(UserError, match="A trial of 6 steps is too short for sweep.pauses=3"):
        run(tmp_path).sweep(Sweep(ranges=RATES, pauses=3))
    with pytest.raises(UserError, match="there is no such file"):
        run(tmp_path).sweep("nowhere.py")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install optuna"):
        sweep(run(tmp_path), Sweep(ranges=RATES))
    assert not os.listdir(tmp_path)


def test_its_time_is_up(tmp_path, capsys):
    found = run(tmp_path).sweep(Sweep(ranges=RATES, minutes=1e-9))
    assert not found.stopped and not found.trials and found.best is None
    assert "minutes are over; the same sweep goes on" in " ".join(capsys.readouterr().out.split())
