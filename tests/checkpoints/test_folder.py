"""Checkpoints are whole or not there: damage of every kind is named, and the one before is taken."""

import json
import os
import shutil
import subprocess

import numpy as np
import pytest

from trainer.checkpoints import folder as checkpoint
from trainer.errors import UserError

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


def edit_manifest(folder, text=None, **changes):
    """Writes the manifest anew, as by hand: its own digest stays the old one."""
    path = os.path.join(folder, "manifest.json")
    if text is None:
        with open(path, encoding="utf-8") as file:
            text = json.dumps(json.load(file) | changes)
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)


def take_from_step_1(folder, *names):
    for name in names:
        shutil.copy(os.path.join(folder.replace("00000002", "00000001"), name), folder)


def turn_into_folder(path):
    os.remove(path)
    os.mkdir(path)


def turn_into_link(folder, target):
    shutil.rmtree(folder)
    os.symlink(target, folder)


def turn_into_file(folder):
    shutil.rmtree(folder)
    with open(folder, "w", encoding="utf-8") as file:
        file.write("no folder")


def append(path):
    with open(path, "ab") as file:
        file.write(b"more")


ODD_DAMAGE = {
    "both files missing": lambda folder: [os.remove(os.path.join(folder, name)) for name in os.listdir(folder)],
    "no manifest": lambda folder: os.remove(f"{folder}/manifest.json"),
    "no variables": lambda folder: os.remove(f"{folder}/variables.npz"),
    "a manifest without fields": lambda folder: edit_manifest(folder, '{"step": 2}'),
    "a manifest that is null": lambda folder: edit_manifest(folder, "null"),
    "a manifest that is a list": lambda folder: edit_manifest(folder, "[1, 2]"),
    "a manifest nested too deep": lambda folder: edit_manifest(folder, "[" * 100_000),
    "a manifest that is no text": lambda folder: edit_manifest(folder, "\udcff\udcfe"),
    "a manifest of blanks": lambda folder: edit_manifest(folder, " " * 500),
    "a manifest of zeros": lambda folder: edit_manifest(folder, "\0" * 500),
    "another step in the manifest": lambda folder: edit_manifest(folder, step=7),
    "another score in the manifest": lambda folder: edit_manifest(folder, host={"best_score": 0.9}),
    "a later format in the manifest": lambda folder: edit_manifest(folder, format=99),
    "another digest in the manifest": lambda folder: edit_manifest(folder, sha256="0" * 64),
    "no variables in the manifest": lambda folder: edit_manifest(folder, variables={}),
    "variables of another step": lambda folder: take_from_step_1(folder, "variables.npz"),
    "all files of another step": lambda folder: take_from_step_1(folder, "variables.npz", "manifest.json"),
    "bytes after the variables": lambda folder: append(f"{folder}/variables.npz"),
    "bytes after the manifest": lambda folder: append(f"{folder}/manifest.json"),
    "a folder for the variables": lambda folder: turn_into_folder(f"{folder}/variables.npz"),
    "a folder for the manifest": lambda folder: turn_into_folder(f"{folder}/manifest.json"),
    "a file for the folder": turn_into_file,
    "a link to nowhere": lambda folder: turn_into_link(folder, "nowhere"),
    "a link to itself": lambda folder: turn_into_link(folder, os.path.basename(folder)),
}


@pytest.mark.parametrize("name", ODD_DAMAGE)
def test_odd_damage_is_named_and_the_one_before_taken(workdir, name):
    ODD_DAMAGE[name](checkpoint.step_folder(workdir, 2))
    saved, damage = checkpoint.read_newest(workdir)
    assert saved.step == 1 and len(damage) == 1 and "step_00000002" in damage[0]
    # It is kept for a look, and the step can be saved anew.
    (kept,) = checkpoint.set_aside(workdir, saved.step)
    assert os.path.lexists(kept) and checkpoint.list_steps(workdir) == [1]
    checkpoint.write(workdir, 2, ARRAYS, {})
    assert checkpoint.read_newest(workdir)[0].step == 2


@pytest.mark.parametrize("name", [name for name in ODD_DAMAGE if "folder" not in name and "link" not in name])
def test_a_damaged_checkpoint_asked_for_by_name_is_refused_in_words(workdir, name):
    folder = checkpoint.step_folder(workdir, 2)
    ODD_DAMAGE[name](folder)
    with pytest.raises(checkpoint.DamagedCheckpoint, match="step_00000002") as caught:
        checkpoint.find(workdir, folder)
    assert caught.value.exit_code == 1


def test_a_checkpoint_of_another_version_is_refused_and_not_passed_over(workdir, monkeypatch):
    monkeypatch.setattr(checkpoint, "FORMAT", 2)
    with pytest.raises(UserError, match=r"step_00000002 was written by another version \(format 1; this one reads 2\)"):
        checkpoint.read_newest(workdir)


def test_when_all_are_damaged_each_is_named(workdir):
    for step in (1, 2):
        os.remove(os.path.join(checkpoint.step_folder(workdir, step), "manifest.json"))
    with pytest.raises(checkpoint.DamagedCheckpoint, match=r"(?s)00000002.*00000001"):
        checkpoint.find(workdir, "latest")


def test_damaged_twice_is_kept_twice(workdir):
    for _ in range(2):
        checkpoint.write(workdir, 2, ARRAYS, {})
        truncate(files(workdir)[1], 0.5)
        checkpoint.set_aside(workdir, 1)
    names = [name for name in os.listdir(checkpoint.folder_of(workdir)) if "damaged" in name]
    assert sorted(names) == ["step_00000002.damaged", "step_00000002.damaged-2"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"step": "2"}', '{"step": 77}', "[" * 100_000])
def test_a_damaged_mark_of_the_best_costs_the_mark_alone(workdir, content):
    with open(os.path.join(checkpoint.folder_of(workdir), "best.json"), "w", encoding="utf-8") as file:
        file.write(content)
    assert checkpoint.best_step(workdir) is None
    assert checkpoint.find(workdir, "best").step == 2


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "checkpoints").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match=r"checkpoints: Not a directory") as caught:
        checkpoint.find(str(tmp_path), "latest")
    assert caught.value.exit_code == 1


def test_names_that_are_no_checkpoints_are_left_alone(workdir):
    folder = checkpoint.folder_of(workdir)
    for name in ("step_12", "step_000000000003", "step_00000009.damaged", "step_00000009.partial-7", "notes"):
        os.mkdir(os.path.join(folder, name))
    assert checkpoint.list_steps(workdir) == [1, 2]


# Every call by which `write` changes the folder; a kill comes between any two of them.
@pytest.mark.parametrize("calls", range(11))
def test_a_kill_while_a_step_is_saved_again_loses_neither(workdir, monkeypatch, calls):
    left = [calls]

    def killing(original):
        def call(*arguments, **options):
            if left[0] == 0:
                raise KeyboardInterrupt("killed")
            left[0] -= 1
            return original(*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        for name in ("replace", "makedirs", "fsync", "remove", "rmdir"):
            patch.setattr(os, name, killing(getattr(os, name)))
        # A killed process does not clean up after itself either.
        patch.setattr(shutil, "rmtree", killing(lambda *arguments, **options: None))
        try:
            checkpoint.write(workdir, 2, ARRAYS, {"best_score": 0.75})
            killed = False
        except KeyboardInterrupt:
            killed = True
    assert killed == (calls < 9)
    checkpoint.tidy(workdir)
    saved, damage = checkpoint.read_newest(workdir)
    assert saved.step == 2 and saved.host["best_score"] in (0.5, 0.75) and not damage
    assert sorted(os.listdir(checkpoint.folder_of(workdir))) == ["step_00000001", "step_00000002"]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MiB of its own; where this process may not mount one the test is skipped."""
    place = tmp_path / "small"
    place.mkdir()
    mount = shutil.which("mount")
    mounted = mount and subprocess.run([mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], capture_output=True)
    if not mounted or mounted.returncode:
        pytest.skip("a file system can be mounted by root alone")
    yield str(place)
    subprocess.run(["umount", place], check=True)


def test_a_full_disk_and_one_that_became_read_only_leave_the_earlier_ones_whole(small_disk):
    arrays = {"model/a/kernel": np.random.default_rng(0).random((300, 150))}  # 360 kB: two fit, a third does not
    for step in (1, 2):
        checkpoint.write(small_disk, step, arrays, {})
    before = sorted(os.listdir(checkpoint.folder_of(small_disk)))
    for step in (3, 2):
        # Another step, and the same step again, which stays until the new one is whole.
        with pytest.raises(OSError, match="No space left on device"):
            checkpoint.write(small_disk, step, arrays, {"again": True})
        assert sorted(os.listdir(checkpoint.folder_of(small_disk))) == before
    saved, damage = checkpoint.read_newest(small_disk)
    assert saved.step == 2 and saved.host == {} and not damage
    checkpoint.prune(small_disk, 1, None)
    checkpoint.write(small_disk, 3, arrays, {})
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(OSError, match="Read-only file system"):
        checkpoint.write(small_disk, 4, arrays, {})
    assert checkpoint.list_steps(small_disk) == [2, 3]
    assert checkpoint.find(small_disk, "latest").step == 3


def test_a_kill_while_old_ones_are_removed_leaves_no_half_of_one(workdir, monkeypatch):
    checkpoint.write(workdir, 3, ARRAYS, {})
    monkeypatch.setattr(shutil, "rmtree", lambda *arguments, **options: None)
    checkpoint.prune(workdir, 1, None)
    assert checkpoint.list_steps(workdir) == [3]
    monkeypatch.undo()
    checkpoint.tidy(workdir)
    assert os.listdir(checkpoint.folder_of(workdir)) == ["step_00000003"]


def test_a_folder_that_a_kill_left_half_written_is_no_checkpoint(workdir):
    whole = checkpoint.step_folder(workdir, 2)
    shutil.copytree(whole, whole.replace("00000002", "00000003") + ".partial-1")
    saved, damage = checkpoint.read_newest(workdir)
    assert saved.step == 2 and not damage


@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn", "float16", "uint8", "bool", "complex64", "int4"])
def test_every_type_of_number_comes_back(workdir, dtype):
    array = np.array([[0, 1], [1, 0]], dtype)
    checkpoint.write(workdir, 3, {"a": array, "scalar": array[0, 1], "b": array[:0]}, {})
    arrays = checkpoint.read(checkpoint.step_folder(workdir, 3)).arrays
    assert arrays["a"].dtype == array.dtype and arrays["a"].tobytes() == array.tobytes()
    assert arrays["scalar"].shape == () and arrays["b"].shape == (0, 2)


def test_text_is_refused_by_the_name_of_its_variable_and_leaves_nothing(workdir):
    with pytest.raises(ValueError, match="'model/words'"):
        checkpoint.write(workdir, 3, {"model/words": np.array(["a"], object)}, {})
    assert checkpoint.list_steps(workdir) == [1, 2]
    assert not any("partial" in name for name in os.listdir(checkpoint.folder_of(workdir)))


def test_what_is_read_is_what_was_written(workdir):
    saved = checkpoint.read(checkpoint.step_folder(workdir, 2))
    assert set(saved.arrays) == set(ARRAYS) and saved.host == {"best_score": 0.5}
    assert saved.arrays["counter/step"].dtype == np.int64


def test_the_newest_and_the_best_are_kept(workdir):
    for step in range(3, 8):
        checkpoint.write(workdir, step, ARRAYS, {})
    checkpoint.prune(workdir, 2, 3)
    assert checkpoint.list_steps(workdir) == [3, 6, 7]
