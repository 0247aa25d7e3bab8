"""The trials on disk: several processes, kills, half-written lines."""

import json
import os
import signal
import subprocess
import sys

import pytest

from configs.sweep import Sweep, between, one_of
from trainer.sweep.drawing import draw, importance
from trainer.sweep.halving import Trial
from trainer.sweep.study import JOURNAL_FILE, Study

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SWEEP = Sweep(
    ranges={
        "optimizer.learning_rate": between(1e-4, 1e-1, log=True),
        "model.depth": between(1, 3),
        "augment.crop": one_of((16, 16), (32, 32)),
        "augment.flip_vertical": one_of(True, False),
    }
)
STEPS = (3, 9)


def opened(workdir):
    study = Study(str(workdir), SWEEP)
    study.open({"about": 1}, True)
    return study


def test_trials_are_read_as_they_were_written(tmp_path):
    study = opened(tmp_path)
    settings = [draw(SWEEP, [], True), draw(SWEEP, [Trial(0, {}, STEPS, failure="x")] * 0, True)]
    assert settings[0] == settings[1]
    first = study.begin(settings[0], STEPS)
    second = study.begin({**settings[0], "augment.crop": (32, 32)}, STEPS)
    study.score(first, 0, 0.25, 3)
    study.promote(first, 1)
    study.fail(second, "gone")
    again = opened(tmp_path)
    assert again.open({"about": 2}, True) == {"about": 1}
    one, two = again.trials()
    assert one == Trial(0, settings[0], STEPS, rung=1, scores={0: 0.25}, step=3) and one.on_its_way
    assert two.settings["augment.crop"] == (32, 32) and two.failure == "gone" and two.ended
    again.score(one, 1, 0.5, 9)
    assert study.trials()[0].ended and study.trials()[0].scores == {0: 0.25, 1: 0.5}


@pytest.mark.parametrize("torn", [b'{"op_code":4,"wor', b"{}x"])
def test_a_line_that_a_kill_left_half_is_dropped(tmp_path, torn):
    study = opened(tmp_path)
    study.begin(draw(SWEEP, [], True), STEPS)
    with open(tmp_path / JOURNAL_FILE, "ab") as file:
        file.write(torn)
    again = opened(tmp_path)
    assert len(again.trials()) == 1
    again.begin(draw(SWEEP, again.trials(), True), STEPS)
    assert len(opened(tmp_path).trials()) == 2 == len(study.trials())
    for line in (tmp_path / JOURNAL_FILE).read_bytes().splitlines():
        json.loads(line)


_CHILD = """
import sys, time
from tests.sweep.test_study import STEPS, SWEEP, draw, opened
study = opened(sys.argv[1])
for _ in range(5):
    with study.deciding():
        trial = study.begin(draw(SWEEP, study.trials(), True), STEPS)
        claim = study.claim(trial)
    study.score(trial, 0, 0.5, 3)
print("ready", flush=True)
with study.deciding():
    trial = study.begin(draw(SWEEP, study.trials(), True), STEPS)
    claim = study.claim(trial)
print("holds", trial.number, flush=True)
time.sleep(600)
"""


def test_processes_share_the_file_and_what_a_killed_one_held_is_free(tmp_path):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([ROOT, *sys.path])}
    command = [sys.executable, "-c", _CHILD, str(tmp_path)]
    children = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment, encoding="utf-8")
        for _ in range(2)
    ]
    try:
        held = []
        for child in children:
            assert child.stdout.readline() == "ready\n"
            held.append(int(child.stdout.readline().split()[1]))
        study = opened(tmp_path)
        trials = study.trials()
        assert [trial.number for trial in trials] == list(range(12))
        assert len({str(trial.settings) for trial in trials}) == 12
        assert study.busy(trials) == set(held)
        children[0].send_signal(signal.SIGKILL)
        children[0].wait()
        # The kernel has taken its locks back, those of the journal and of deciding among them.
        assert study.busy(study.trials()) == {held[1]}
        with study.deciding():
            claim = study.claim(trials[held[0]])
        assert claim is not None and study.claim(trials[held[1]]) is None
        study.score(trials[held[0]], 0, 0.75, 3)
    finally:
        for child in children:
            child.kill()
            child.wait()
            child.stdout.close()


def test_a_draw_depends_on_seed_number_and_scores_alone():
    trials = []
    for number in range(14):
        settings = draw(SWEEP, trials, True)
        assert settings == draw(SWEEP, list(trials), True)
        assert settings["optimizer.learning_rate"] == float(f"{settings['optimizer.learning_rate']:.4g}")
        score = 0.9 - abs(settings["model.depth"] - 3) * 0.2
        trials.append(Trial(number, settings, STEPS, scores={0: score}, step=3))
    assert len({str(trial.settings) for trial in trials}) == 14
    # TPE has learned from trials that are paused: the depth that scored high comes more often than a third.
    later = [draw(SWEEP, [*trials, *trials[:n]], True)["model.depth"] for n in range(6)]
    assert later.count(3) >= 3
    found = importance(SWEEP, trials, True)
    assert set(found) == set(SWEEP.ranges) and sum(found.values()) == pytest.approx(1)
    assert max(found, key=found.get) == "model.depth"
    assert importance(SWEEP, trials[:5], True) == {}
