"""A run that is broken off anywhere and started again ends as if it had never stopped: the whole program, for real."""

import hashlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys

import pytest

import main
from tests.data.making import make_folder
from trainer import console
from trainer.checkpoints import folder as checkpoint
from trainer.reporting import tags
from trainer.reporting.records import read_metrics

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
# Dropout, averaged weights, early stopping that counts: whatever has a state of its own.
FLAGS = [
    "--config.model.width=4",
    "--config.model.depth=1",
    "--config.model.dropout=0.2",
    "--config.augment.crop=16,16",
    "--config.train.batch_size=4",
    "--config.train.length=12 steps",
    "--config.train.log_every=3 steps",
    "--config.checkpoint.every=4 steps",
    "--config.evaluate.every=6 steps",
    "--config.evaluate.panels=1",
    "--config.evaluate.patience=9",
    "--config.optimizer.ema_decay=0.9",
    "--config.checkpoint.keep=9",
    "--config.data.source=folder",
    "--config.data.classes=background,disc",
    "--config.model.normalization=batch",
]


def run(workdir, *flags):
    return main.main(["main.py", f"--workdir={workdir}", *FLAGS, *flags])


def _of_the_run(report):
    return {name: value for name, value in report.items() if not tags.is_of_the_machine(name)}


def ending(workdir):
    """What a run comes to: every variable, what the host keeps, the records; without speeds and times."""
    saved = checkpoint.find(str(workdir), "latest")
    weights = {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in saved.arrays.items()}
    host = {name: value for name, value in saved.host.items() if name not in ("trained", "seconds")}
    host["last_report"] = _of_the_run(host["last_report"])
    lines = [_of_the_run(line) for line in read_metrics(os.path.join(workdir, "metrics.jsonl"))]
    with open(os.path.join(workdir, "evaluation.json"), encoding="utf-8") as file:
        return weights, host, lines, json.load(file), checkpoint.best_step(str(workdir))


@pytest.fixture(scope="module", autouse=True)
def data(tmp_path_factory):
    """Ten small images: what an evaluation costs is not what is tested here."""
    folder = make_folder(tmp_path_factory.mktemp("data"), 10)
    FLAGS.append(f"--config.data.path={folder}")
    yield folder
    FLAGS.pop()


@pytest.fixture(scope="module")
def unbroken(data, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("unbroken")
    assert run(workdir) == 0
    return workdir


def rewound(unbroken, tmp_path, step):
    """What a kill after the checkpoint of `step` leaves: that and the older ones, and records of later steps."""
    workdir = str(tmp_path / "run")
    shutil.copytree(unbroken, workdir)
    for later in checkpoint.list_steps(workdir):
        if later > step:
            shutil.rmtree(checkpoint.step_folder(workdir, later))
    return workdir


def signal_at(monkeypatch, beginning):
    """Sends SIGTERM to this process when a line with this beginning is logged."""
    log = console.log

    def logging(text):
        log(text)
        if text.startswith(beginning):
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(console, "log", logging)


@pytest.mark.slow
def test_asked_to_stop_it_saves_and_the_same_command_ends_the_run(unbroken, tmp_path, monkeypatch, capfd):
    # Between two checkpoints; and where an evaluation is due: it is left at once, and made first when the run goes on.
    for beginning, saved in (("step  3/12", 4), ("step  6/12", 6)):
        with monkeypatch.context() as patch:
            signal_at(patch, beginning)
            assert run(tmp_path) == 75
        said = capfd.readouterr().out
        assert "SIGTERM: finishing the step and saving" in said and "The same command goes on from here." in said
        assert checkpoint.list_steps(str(tmp_path))[-1] == saved
    assert run(tmp_path) == 0
    said = " ".join(capfd.readouterr().out.split())
    assert "Resuming at step 6 " in said and "It begins with what was due there: an evaluation." in said
    assert re.findall(r"eval +(\d+)/12", said) == ["6", "12"]
    assert ending(tmp_path) == ending(unbroken)


@pytest.mark.slow
def test_a_damaged_newest_checkpoint_is_named_and_costs_nothing_but_time(unbroken, tmp_path, capsys):
    workdir = rewound(unbroken, tmp_path, 8)
    path = os.path.join(checkpoint.step_folder(workdir, 8), "variables.npz")
    os.truncate(path, os.path.getsize(path) // 2)
    assert run(workdir) == 0
    told = capsys.readouterr().out
    assert "damaged checkpoint" in told and "step_00000008: variables.npz" in told
    assert "taking the one before instead, of step 6" in told
    assert ending(workdir) == ending(unbroken)


@pytest.mark.slow
def test_a_full_disk_loses_nothing_that_was_saved(unbroken, tmp_path, capsys):
    workdir = rewound(unbroken, tmp_path, 4)
    before = checkpoint.read(checkpoint.step_folder(workdir, 4)).arrays
    # A quota of one's own: no file can grow beyond this, so that checkpoints and event files fail in the middle.
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        code = run(workdir)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    told = capsys.readouterr()
    assert code == 1
    assert "the checkpoint of step 8 could not be written: File too large" in told.out
    assert "the checkpoint of step 12 could not be written: File too large" in told.out
    assert "TensorBoard's event file cannot be written: File too large" in told.out
    assert "Step 12 is not saved. Once the workdir can be written the same command goes on from step 4." in told.out
    assert "Traceback" not in told.out + told.err
    assert checkpoint.list_steps(workdir) == [4]
    assert all((array == before[name]).all() for name, array in checkpoint.read_newest(workdir)[0].arrays.items())
    # From a step between two reports, so that the sums of the report count too.
    assert run(workdir) == 0
    assert f"Resuming at step 4 ({checkpoint.step_folder(workdir, 4)})" in capsys.readouterr().out
    assert ending(workdir) == ending(unbroken)


def test_a_run_that_has_ended_says_so_and_changes_nothing(unbroken, tmp_path, capsys):
    workdir = rewound(unbroken, tmp_path, 12)

    def files():
        return {
            os.path.join(folder, name): os.stat(os.path.join(folder, name)).st_mtime_ns
            for folder, _, names in os.walk(workdir)
            for name in names
            if name != ".lock"
        }

    before = files()
    assert run(workdir) == 0
    assert "This run has ended already, at step 12 of 12; nothing was done or changed." in capsys.readouterr().out
    assert files() == before


def test_a_run_that_early_stopping_ended_stays_ended(unbroken, tmp_path, capsys):
    workdir = rewound(unbroken, tmp_path, 8)
    saved = checkpoint.find(workdir, "latest")
    checkpoint.write(workdir, 8, saved.arrays, {**saved.host, "evaluations_since_best": 9})
    assert run(workdir) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "This run has ended already, at step 8 of 12: mean_dice has not risen for 9 evaluations" in out
    assert checkpoint.list_steps(workdir)[-1] == 8


@pytest.mark.slow
def test_a_warm_start_says_what_it_took(unbroken, tmp_path, capsys):
    flags = [f"--config.checkpoint.warm_start={unbroken}", "--config.checkpoint.warm_start_pattern=down|bottom"]
    assert run(tmp_path, *flags, "--config.train.length=1 steps", "--config.evaluate.patience=0") == 0
    told = capsys.readouterr().out
    assert f"Warm start from {unbroken}" in told and "left out by the pattern 'down|bottom': up0_1_conv/kernel" in told


@pytest.mark.slow
def test_skipped_files_are_named_when_met_and_counted_at_the_end(tmp_path, capsys):
    folder = make_folder(tmp_path / "data", 10)
    os.remove(os.path.join(folder, "masks", "000.png"))
    for number in (1, 2):
        # A bit of the pixels: the header is whole, so that nobody knows before the file is decoded.
        path = os.path.join(folder, "images", f"00{number}.png")
        with open(path, "r+b") as file:
            file.seek(60)
            byte = file.read(1)[0]
            file.seek(60)
            file.write(bytes([byte ^ 1]))
    flags = [f"--config.data.path={folder}", "--config.evaluate.every=0 steps", "--config.evaluate.patience=0"]
    assert run(tmp_path / "run", *flags) == 2
    assert "an image without a mask" in capsys.readouterr().err
    assert run(tmp_path / "run", *flags, "--config.data.bad_files=skip") == 0
    told = capsys.readouterr().out
    assert "left out, as data.bad_files=skip says:" in told and "000.png: an image without a mask" in told
    with open(tmp_path / "run" / "bad_files.json", encoding="utf-8") as file:
        kept = json.load(file)
    found = kept["train"] | kept["validation"]
    assert sorted(found) == ["images/001.png", "images/002.png"] and len(kept["before_the_first_step"]) == 1
    # Each once when it is met, or at the end where nothing was reported after it.
    assert all(told.count(reason) <= 1 and "does not decode" in reason for reason in found.values())
    counts = [f"{len(kept[split])} of" for split in ("train", "validation") if kept[split]]
    (line,) = [line for line in told.splitlines() if line.startswith("Skipped as unusable: ")]
    assert all(count in line for count in counts) and "images/001.png" in line and "images/002.png" in line
    # Broken off and started again, what was met before counts too.
    shutil.rmtree(checkpoint.step_folder(str(tmp_path / "run"), 12))
    assert run(tmp_path / "run", *flags, "--config.data.bad_files=skip") == 0
    told = capsys.readouterr().out
    assert line in told.splitlines() and "cannot be used:" not in told


def benchmark(*flags):
    command = [sys.executable, os.path.join(ROOT, "benchmarks", "survive.py"), *flags]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "DIFFERENT" not in ended.stdout and ended.stdout.count("equal") == 5
    return ended.stdout


@pytest.mark.slow
def test_killed_with_9_at_random_moments(tmp_path):
    assert "ended by SIGKILL 3 times" in benchmark("--kills=3", "--seed=1")
