"""Checkpoints are whole or not there: damage of every kind is named, and the one before is taken."""

import json
import os
import shutil

import numpy as np
import pytest

from trainer import checkpoint

ARRAYS = {"model/a/kernel": np.arange(600, dtype="float32").reshape(20, 30), "counter/step": np.int64(2)}


@pytest.fixture
def workdir(tmp_path):
    for step in (1, 2):
        checkpoint.write(str(tmp_path), step, {**ARRAYS, "counter/step": np.int64(step)}, {"best_score": 0.5})
    return str(tmp_path)


def files(workdir):
    folder = checkpoint.step_folder(workdir, 2)
    return [os.path.join(folder, name) for name in sorted(os.listdir(folder))]


def truncate(path, share):
    os.truncate(path, int(os.path.getsize(path) * share))


def flip(path, at):
    with open(path, "r+b") as file:
        file.seek(int(at * (os.path.getsize(path) - 1)))
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 0x10]))


DAMAGE = {f"{which} cut to {share:.0%}": (which, truncate, share) for which in (0, 1) for share in (0.0, 0.3, 0.99)}
DAMAGE |= {f"{which} bit flipped at {at:.0%}": (which, flip, at) for which in (0, 1) for at in np.linspace(0, 1, 14)}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_file_is_named_and_the_one_before_taken(workdir, name):
    which, how, amount = DAMAGE[name]
    how(files(workdir)[which], amount)
    saved, damage = checkpoint.read_newest(workdir)
    assert saved.step == 1 and len(damage) == 1 and "step_00000002" in damage[0]
    np.testing.assert_array_equal(saved.arrays["model/a/kernel"], ARRAYS["model/a/kernel"])


@pytest.mark.parametrize("which", [0, 1, "all", "manifest only"])
def test_missing_files_are_named(workdir, which):
    if which == "all":
        for path in files(workdir):
            os.remove(path)
    elif which == "manifest only":
        with open(os.path.join(checkpoint.step_folder(workdir, 2), "manifest.json"), "w") as file:
            json.dump({"step": 2}, file)
    else:
        os.remove(files(workdir)[which])
    saved, damage = checkpoint.read_newest(workdir)
    assert saved.step == 1 and len(damage) == 1


def test_a_folder_that_a_kill_left_half_written_is_no_checkpoint(workdir):
    whole = checkpoint.step_folder(workdir, 2)
    shutil.copytree(whole, whole.replace("00000002", "00000003") + ".partial-1")
    saved, damage = checkpoint.read_newest(workdir)
    assert saved.step == 2 and not damage


def test_what_is_read_is_what_was_written(workdir):
    saved = checkpoint.read(checkpoint.step_folder(workdir, 2))
    assert set(saved.arrays) == set(ARRAYS) and saved.host == {"best_score": 0.5}
    assert saved.arrays["counter/step"].dtype == np.int64


def test_the_newest_and_the_best_are_kept(workdir):
    for step in range(3, 8):
        checkpoint.write(workdir, step, ARRAYS, {})
    checkpoint.prune(workdir, 2, 3)
    assert checkpoint.list_steps(workdir) == [3, 6, 7]
