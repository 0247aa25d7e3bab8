"""Two worker processes on loopback: the weights of one process, a loss scale that agrees, a worker that is lost."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

import main
from tests.data.making import make_folder
from tests.stepping.replica_runs import distance
from trainer.checkpoints import folder as checkpoint
from trainer.stepping.precision import INITIAL_SCALE

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
STEPS = 10

# Runs main.py; worker 1, the first time, is killed right after the checkpoint of step 4 is there.
KILLED = """
import json, os, pathlib, signal, sys, time
import main
from trainer.checkpoints import folder as checkpoint
from trainer.checkpoints import saver

marker = pathlib.Path(sys.argv[1])
if json.loads(os.environ["TF_CONFIG"])["task"]["index"] == 1 and not marker.exists():
    save = saver.Saver.save

    def save_and_die(self, state, *arguments, **options):
        save(self, state, *arguments, **options)
        while not os.path.isdir(checkpoint.step_folder(self._workdir, 4)):
            time.sleep(0.05)
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)

    saver.Saver.save = save_and_die
sys.exit(main.main(["main.py", *sys.argv[2:]]))
"""


def flags(folder, workdir):
    return [
        f"--workdir={workdir}",
        "--config.data.source=folder",
        f"--config.data.path={folder}",
        "--config.data.classes=background,disc",
        "--config.augment.crop=16,16",
        "--config.model.name=tests.distribution.small_model:build",
        "--config.train.batch_size=4",
        f"--config.train.length={STEPS} steps",
        "--config.train.steps_per_call=2",
        "--config.train.log_every=2 steps",
        "--config.checkpoint.every=4 steps",
        "--config.evaluate.every=100%",
        "--config.evaluate.panels=0",
        "--config.optimizer.learning_rate=1e-3",
        "--config.optimizer.ema_decay=0.9",
        "--config.train.accumulate=2",
        '--config.loss.options={"dice": {"over": "batch"}}',
    ]


def launch(*command, restarts=0):
    launcher = [sys.executable, "-m", "trainer.launch", "--workers=2", f"--restarts={restarts}", "--"]
    return subprocess.run(
        [*launcher, sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": ROOT},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=500,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("data"), count=9)


@pytest.fixture(scope="module")
def unbroken(folder, tmp_path_factory):
    workdir = str(tmp_path_factory.mktemp("unbroken"))
    done = launch("main.py", *flags(folder, workdir))
    assert done.returncode == 0, done.stdout[-3000:]
    return workdir, done.stdout


@pytest.mark.slow
def test_two_workers_train_what_one_process_trains(folder, unbroken, tmp_path):
    workdir, out = unbroken
    assert main.main(["main.py", *flags(folder, tmp_path), "--strategy=one"]) == 0
    one = checkpoint.find(str(tmp_path), "latest")
    two = checkpoint.find(workdir, "latest")
    assert one.step == two.step == STEPS
    assert one.arrays.keys() == two.arrays.keys()
    # Up to the rounding of sums in another order, which some steps of Adam have had time to enlarge.
    assert distance(one.arrays, two.arrays) < 1e-5
    for name in (name for name in one.arrays if name.startswith("counter/") or "iteration" in name):
        assert np.array_equal(one.arrays[name], two.arrays[name]), name
    assert "[0]   devices    multi_worker, a cluster of 2 workers is in the environment" in out
    assert "[1] worker 1 of 2 (TF_CONFIG): waiting for 127.0.0.1:" in out
    # The chief alone logs and writes; every image is counted once.
    assert len(re.findall(r"\[1\] step ", out)) == 0
    with (
        open(os.path.join(workdir, "evaluation.json"), encoding="utf-8") as file,
        open(tmp_path / "evaluation.json", encoding="utf-8") as other,
    ):
        together, alone = json.load(file), json.load(other)
    assert together["images"] == alone["images"]
    assert together["mean_dice"] == pytest.approx(alone["mean_dice"], abs=1e-4)


@pytest.mark.slow
def test_a_killed_worker_is_named_and_the_restarted_run_ends_with_the_same_weights(folder, unbroken, tmp_path):
    program = tmp_path / "killed.py"
    program.write_text(KILLED, encoding="utf-8")
    workdir = str(tmp_path / "run")
    done = launch(str(program), str(tmp_path / "was_killed"), *flags(folder, workdir), restarts=1)
    out = done.stdout
    assert done.returncode == 0, out[-3000:]
    assert (tmp_path / "was_killed").exists()
    # Worker 0 says so itself, before the launcher ends it: that is well within a minute.
    assert re.search(r"\[0\] Lost worker 1 \(127\.0\.0\.1:\d+\): ", out)
    assert "Traceback" not in out
    assert "worker 1 ended with signal SIGKILL, then worker 0 ended with exit code 1; starting all again, 1 of 1" in out
    assert "Resuming at step 4" in out
    broken, whole = (checkpoint.find(path, "latest") for path in (workdir, unbroken[0]))
    assert broken.step == whole.step == STEPS
    assert broken.arrays.keys() == whole.arrays.keys()
    for name, value in whole.arrays.items():
        assert np.array_equal(value, broken.arrays[name]), name


@pytest.mark.slow
def test_an_overflow_on_one_worker_is_skipped_by_both(tmp_path):
    done = launch("-m", "tests.distribution.overflowing_worker")
    assert done.returncode == 0, done.stdout[-3000:]
    told = [json.loads(line[4:]) for line in done.stdout.splitlines() if line[4:].startswith("{")]
    assert len(told) == 2 and told[0] == told[1]
    assert told[0] == {**told[0], "skipped": 1, "last_skipped": 3, "scale": INITIAL_SCALE / 2, "finite": True}
