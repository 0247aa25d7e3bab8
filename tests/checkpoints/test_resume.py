"""Where a run starts: which checkpoint, on one worker and on several, and whether the config is still the run's."""

import dataclasses
import json
import os
import threading
import types

import numpy as np
import pytest

from configs.schema import Config, Optimizer, Train
from trainer.checkpoints import folder as checkpoint
from trainer.checkpoints.resume import (
    check_config,
    check_data,
    check_shared_workdir,
    describe_data,
    find_start,
    newest,
    write_config,
)
from trainer.errors import UserError


class Workers:
    """Threads that sum over each other as workers of a cluster do; each gets its own `Devices`-like view."""

    def __init__(self, count):
        self.workers, self._values = count, [0.0] * count
        self._barrier = threading.Barrier(count, timeout=20)

    def view(self, worker):
        return View(self, worker)

    def sum(self, worker, value):
        self._values[worker] = value
        self._barrier.wait()
        total = sum(self._values)
        self._barrier.wait()
        return total


@dataclasses.dataclass
class View:
    cluster: Workers
    worker: int

    @property
    def chief(self):
        return self.worker == 0

    @property
    def workers(self):
        return self.cluster.workers

    def sum_over_workers(self, value):
        return self.cluster.sum(self.worker, value)

    def any_worker(self, value):
        return self.sum_over_workers(float(value)) > 0.0


def on_all(count, function):
    """What `function(devices)` returns or raises on each of so many workers at once."""
    cluster, results = Workers(count), [None] * count

    def work(worker):
        try:
            results[worker] = function(cluster.view(worker))
        except Exception as error:
            results[worker] = error

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def save(workdir, *steps):
    for step in steps:
        checkpoint.write(str(workdir), step, {"model/a": np.full(3, step)}, {})


def damage(workdir, step):
    os.truncate(os.path.join(checkpoint.step_folder(str(workdir), step), "variables.npz"), 10)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_empty_workdir_is_a_new_run(tmp_path, workers):
    assert on_all(workers, lambda devices: find_start(str(tmp_path), devices, print)) == [None] * workers


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_damaged_ones_are_named_once_and_all_workers_take_the_one_before(tmp_path, workers):
    save(tmp_path, 5, 10, 15)
    for step in (10, 15):
        damage(tmp_path, step)
    lines = []
    found = on_all(workers, lambda devices: find_start(str(tmp_path), devices, lines.append))
    assert [saved.step for saved in found] == [5] * workers
    assert len(lines) == 3 and "step_00000015" in lines[0] and "step_00000010" in lines[1] and "of step 5" in lines[2]
    assert checkpoint.list_steps(str(tmp_path)) == [5]
    # The next start has nothing to say.
    on_all(workers, lambda devices: find_start(str(tmp_path), devices, lines.append))
    assert len(lines) == 3


@pytest.mark.parametrize("workers", [1, 2])
def test_when_none_is_whole_no_new_run_is_begun_over_them(tmp_path, workers):
    save(tmp_path, 5, 10)
    for step in (5, 10):
        damage(tmp_path, step)
    errors = on_all(workers, lambda devices: find_start(str(tmp_path), devices, print))
    assert all(isinstance(error, UserError) and error.exit_code == 1 for error in errors)
    assert "step_00000005" in str(errors[0]) and "step_00000010" in str(errors[0]) and "move" in str(errors[0])
    assert checkpoint.list_steps(str(tmp_path)) == [5, 10]


def test_a_file_in_the_place_of_the_checkpoints_is_named_and_left(tmp_path):
    (tmp_path / "checkpoints").write_text("mine", encoding="utf-8")
    first, second = on_all(2, lambda devices: find_start(str(tmp_path), devices, print))
    assert "checkpoints: Not a directory" in str(first) and "the chief" in str(second).lower()
    assert (tmp_path / "checkpoints").read_text(encoding="utf-8") == "mine"


def test_a_folder_that_only_the_chief_sees_is_said_on_all_workers(tmp_path):
    (tmp_path / "chief").mkdir()

    def look(devices):
        return check_shared_workdir(str(tmp_path / ("chief" if devices.chief else "other")), devices)

    errors = on_all(2, look)
    assert "1 of 2 workers do not see" in str(errors[0]) and "This worker does not see" in str(errors[1])
    assert on_all(2, lambda devices: check_shared_workdir(str(tmp_path), devices)) == [None, None]
    assert os.listdir(tmp_path / "chief") == []


CONFIG = Config(train=Train(length="100 steps"))
START = checkpoint.Saved("runs/a/checkpoints/step_00000040", 40, {}, {})


def run_of(tmp_path, config=CONFIG, *, force=False, objects=None):
    """The part of a run that is looked at; what it logs is in its `lines`."""
    lines: list[str] = []
    parts = types.SimpleNamespace(names=lambda: objects or {})
    run = types.SimpleNamespace(config=config, workdir=str(tmp_path), force=force, extend=False, parts=parts)
    run.log, run.lines, run.found_micro_batches = lines.append, lines, {}
    return run


def compare(tmp_path, config, *, force=False):
    run = run_of(tmp_path, config, force=force)
    check_config(run, START)
    return run.lines


def test_the_same_config_is_silent(tmp_path):
    write_config(run_of(tmp_path))
    assert compare(tmp_path, CONFIG) == []


def test_changes_that_break_the_run_are_refused_all_at_once(tmp_path):
    write_config(run_of(tmp_path))
    other = dataclasses.replace(
        CONFIG, seed=7, optimizer=Optimizer(learning_rate=0.5), train=Train(log_every="3 steps")
    )
    with pytest.raises(UserError) as caught:
        compare(tmp_path, other)
    text = str(caught.value)
    assert "at step 40" in text and "--force_config" in text and "--workdir=" in text
    for field, old, new in (
        ("seed", "0", "7"),
        ("optimizer.learning_rate", "0.003", "0.5"),
        ("train.length", "100", ""),
    ):
        (line,) = [line for line in text.splitlines() if f"config.{field}" in line]
        assert old in line and new in line
    assert "log_every" not in text
    assert len(compare(tmp_path, other, force=True)) == 4


def test_a_harmless_change_is_told_and_taken(tmp_path):
    write_config(run_of(tmp_path))
    other = dataclasses.replace(CONFIG, train=Train(length="100 steps", log_every="3 steps"))
    (line,) = compare(tmp_path, other)
    assert line.startswith("changed since the run began: config.train.log_every")


def test_other_objects_than_at_the_start_are_refused_by_name(tmp_path):
    write_config(run_of(tmp_path, objects={"model": "mine:unet", "actions": ["100: mine:log"]}))
    same = run_of(tmp_path, objects={"model": "mine:unet"})
    check_config(same, START)
    assert same.lines == []
    with pytest.raises(UserError, match=r"(?s)loss: was the configured, now.*model: was mine:unet, now mine:res"):
        check_config(run_of(tmp_path, objects={"model": "mine:resnet", "loss": "mine:dice"}), START)


@pytest.mark.parametrize("content", [None, b"", b"{", b"\xff\xfe", b"[]", b'{"seed": "x"}'])
def test_a_config_that_cannot_be_read_is_said_and_ends_nothing(tmp_path, content):
    if content is not None:
        (tmp_path / "config.json").write_bytes(content)
    (line,) = compare(tmp_path, CONFIG)
    assert "config.json cannot be read" in line


def test_the_newest_checkpoint_in_words(tmp_path):
    assert newest(str(tmp_path)) == "the start"
    save(tmp_path, 5, 10)
    assert newest(str(tmp_path)) == "step 10"


def test_checkpoints_that_cannot_be_written_are_said_before_the_first_step(tmp_path):
    os.symlink("nowhere", tmp_path / "checkpoints")
    with pytest.raises(UserError, match=r"checkpoints.* cannot be written: .*\. Nothing was trained") as caught:
        write_config(run_of(tmp_path))
    assert caught.value.exit_code == 1
    os.remove(tmp_path / "checkpoints")
    save(tmp_path, 5)
    write_config(run_of(tmp_path))
    assert os.listdir(tmp_path / "checkpoints") == ["step_00000005"]


def data_of(train, validation=("v",)):
    """The part of the data sets that is looked at."""

    class Split(tuple):
        names = property(tuple)
        length = property(len)

    first, second = Split(train), Split(validation)
    first.split, second.split = "train", "validation"
    return types.SimpleNamespace(train=first, validation=second)


def compare_data(before, now, *, force=False):
    start = dataclasses.replace(START, host={"data": json.loads(json.dumps(describe_data(before)))} if before else {})
    run = run_of("runs/a", force=force)
    check_data(describe_data(now), run, start)
    return run.lines


def test_other_files_than_at_the_start_are_refused_by_split():
    assert compare_data(data_of("abc"), data_of("abc")) == []
    # A checkpoint of before they were kept.
    assert compare_data(None, data_of("abc")) == []
    with pytest.raises(UserError, match=r"(?s)at step 40.*train split had 3 images, now 4.*--force_config"):
        compare_data(data_of("abc"), data_of("abcd"))
    with pytest.raises(UserError, match="validation split has 1 images as before, but not of the same names") as caught:
        compare_data(data_of("abc"), data_of("abc", "w"))
    assert "train split" not in str(caught.value)
    (line,) = compare_data(data_of("abc"), data_of("ab"), force=True)
    assert line == "changed since the run began: the train split had 3 images, now 2"
