"""Gradients that are not finite: stop, skip, or back; and the decision holds when the run is broken off."""

import os
import shutil

import numpy as np
import pytest

import main
from tests.data.making import make_folder, save
from trainer.checkpoints import folder as checkpoint

# Not finite for the one image whose mask is all disc.
LOSS = """
import tensorflow as tf


def bad_for_one(y_true, y_pred):
    error = tf.reduce_mean((tf.nn.softmax(y_pred) - y_true) ** 2)
    full = tf.reduce_any(tf.reduce_all(y_true[..., 1] > 0.5, axis=[1, 2]))
    return error * tf.where(full, float("nan"), 1.0)
"""
LENGTH, EPOCH = 10, 4


@pytest.fixture(scope="module")
def flags(tmp_path_factory):
    folder, mine = make_folder(tmp_path_factory.mktemp("data"), 10), tmp_path_factory.mktemp("mine")
    save(os.path.join(folder, "masks", "003.png"), np.full((24, 32), 255, np.uint8))
    for name, numbers in (("train", range(8)), ("val", (8, 9))):
        with open(os.path.join(folder, f"{name}.txt"), "w", encoding="utf-8") as file:
            file.writelines(f"{number:03}\n" for number in numbers)
    (mine / "loss_of_a_test.py").write_text(LOSS, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(mine)
        yield [
            "--config.data.source=folder",
            f"--config.data.path={folder}",
            "--config.data.classes=background,disc",
            "--config.augment.crop=16,16",
            "--config.model.width=4",
            "--config.model.depth=1",
            "--config.train.batch_size=2",
            f"--config.train.length={LENGTH} steps",
            "--config.train.log_every=5 steps",
            "--config.checkpoint.every=1 steps",
            "--config.checkpoint.keep=99",
            "--config.evaluate.every=0 steps",
            "--config.loss.name=loss_of_a_test:bad_for_one",
            "--config.loss.labels=one_hot",
        ]


def weights(workdir):
    return {name: array.tobytes() for name, array in checkpoint.find(str(workdir), "latest").arrays.items()}


def rewound(workdir, target, step):
    shutil.copytree(workdir, target)
    for later in checkpoint.list_steps(str(target)):
        if later > step:
            shutil.rmtree(checkpoint.step_folder(str(target), later))
    return str(target)


def kept_batches(workdir):
    """step -> the indices of the examples in the batch that was kept for it."""
    folder = os.path.join(workdir, "bad_batches")
    return {int(name[5:13]): np.load(os.path.join(folder, name))["index"].tolist() for name in os.listdir(folder)}


def test_stop_names_the_step_keeps_the_batch_and_does_so_again(flags, tmp_path, capsys):
    command = ["main.py", f"--workdir={tmp_path}", "--config.guard.nonfinite=stop", *flags]
    assert main.main(command) == 1
    errors = capsys.readouterr().err
    ((step, index),) = kept_batches(tmp_path).items()
    assert f"Training stopped before the update of step {step}" in errors and "Traceback" not in errors
    assert "loss_of_a_test.py:8" in errors and f"step_{step:08d}.npz" in errors
    assert step < EPOCH and 3 in index
    with np.load(tmp_path / "bad_batches" / f"step_{step:08d}.npz") as batch:
        row = index.index(3)
        assert batch["image"].shape == (2, 16, 16, 3) and (batch["label"][row] == 1).all()
    # The same data, the same end; nothing was saved of a state that is not finite.
    saved = checkpoint.list_steps(str(tmp_path))
    assert main.main(command) == 1
    assert f"before the update of step {step}" in capsys.readouterr().err
    assert checkpoint.list_steps(str(tmp_path)) == saved


def test_skip_leaves_the_batches_out_and_goes_on_alike_from_anywhere(flags, tmp_path, capsys):
    def command(workdir):
        return ["main.py", f"--workdir={workdir}", "--config.guard.nonfinite=skip", *flags]

    assert main.main(command(tmp_path / "run")) == 0
    output = capsys.readouterr().out
    kept = kept_batches(tmp_path / "run")
    assert len(kept) >= 2 and all(3 in index for index in kept.values())
    assert all(f"step {step}: skipped" in output for step in kept)
    saved = checkpoint.find(str(tmp_path / "run"), "latest")
    assert saved.arrays["counter/skipped"] == len(kept)
    assert all(np.isfinite(array).all() for array in saved.arrays.values())
    # Broken off between the first bad batch and the next.
    again = rewound(tmp_path / "run", tmp_path / "again", min(kept) + 1)
    assert main.main(command(again)) == 0
    assert weights(again) == weights(tmp_path / "run")


def test_back_leaves_the_data_out_for_good_also_when_broken_off(flags, tmp_path, capsys):
    def command(workdir, *more):
        return ["main.py", f"--workdir={workdir}", "--config.guard.nonfinite=back", *flags, *more]

    assert main.main(command(tmp_path / "run")) == 0
    output = capsys.readouterr().out
    saved = checkpoint.find(str(tmp_path / "run"), "latest")
    skipped = saved.host["skipped_data"]
    assert len(skipped) >= 2 and saved.host["returns"] == len(skipped) == output.count("going back to step")
    assert saved.step == LENGTH and saved.arrays["optimizer/adam_w/iteration"] == LENGTH
    # The decision is in the checkpoint that the run went back to: it is not taken a second time.
    first = min(skipped)
    assert checkpoint.read(checkpoint.step_folder(str(tmp_path / "run"), first)).host["skipped_data"] == [first]
    again = rewound(tmp_path / "run", tmp_path / "again", first)
    assert main.main(command(again)) == 0
    assert f"leaving out the data of step {first}." not in capsys.readouterr().out
    assert weights(again) == weights(tmp_path / "run")
    # As often as the config allows, and then it ends by name.
    limited = rewound(tmp_path / "run", tmp_path / "limited", first)
    assert main.main(command(limited, "--config.guard.max_skips=1")) == 1
    assert "the run went back 1 times already" in capsys.readouterr().err
