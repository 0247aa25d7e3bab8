"""The whole program through `main.main`: a run, everything that is done with it, and losses that break it."""

import json
import os
import pathlib

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import main
from tests.data.making import make_folder

SMALL = [
    "--config.model.width=4",
    "--config.model.depth=2",
    "--config.augment.crop=32,32",
    "--config.train.batch_size=4",
    "--config.train.log_every=2 steps",
    "--config.evaluate.panels=2",
]

LOSSES = """
import keras.backend as K
import tensorflow as tf


def as_in_pytorch(y_true, y_pred, smooth=1e-5):
    p = tf.sigmoid(y_pred)
    overlap = tf.reduce_sum(p * y_true)
    return 1.0 - (2.0 * overlap + smooth) / (tf.reduce_sum(p) + tf.reduce_sum(y_true) + smooth)


def detached(y_true, y_pred):
    p = tf.nn.softmax(y_pred)
    score = tf.stop_gradient(2.0 * tf.reduce_sum(p * y_true) / tf.reduce_sum(p + y_true))
    return 1.0 - score


def old_keras(y_true, y_pred):
    flat_true, flat_pred = K.flatten(y_true), K.flatten(y_pred)
    return 1.0 - 2.0 * K.sum(flat_true * flat_pred) / (K.sum(flat_true) + K.sum(flat_pred))


def thresholded(y_true, y_pred):
    hard = tf.cast(tf.nn.softmax(y_pred) > 0.5, tf.float32)
    return 1.0 - 2.0 * tf.reduce_sum(hard * y_true) / tf.reduce_sum(hard + y_true)


def not_a_number(y_true, y_pred):
    return tf.reduce_mean(tf.math.log(tf.nn.relu(y_pred) * 0.0))


def broken(y_true, y_pred):
    return y_true["mask"]


def integers(y_true, y_pred):
    return tf.reduce_mean((tf.cast(y_true, tf.int32) - y_pred) ** 2)
"""


def run(*flags):
    return main.main(["main.py", *flags])


@pytest.fixture(scope="module")
def flags(tmp_path_factory):
    """A run on images of a folder, with averaged weights."""
    return [
        f"--config.data.path={make_folder(tmp_path_factory.mktemp('data'), 10, size=(70, 90))}",
        "--config.data.source=folder",
        "--config.data.classes=background,disc",
        "--config.train.length=8 steps",
        "--config.optimizer.ema_decay=0.9",
        *SMALL,
    ]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, flags):
    workdir = str(tmp_path_factory.mktemp("run"))
    assert run(f"--workdir={workdir}", *flags) == 0
    return workdir


@pytest.fixture(scope="module")
def users_losses(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mine")
    (folder / "losses_of_mine.py").write_text(LOSSES, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield str(folder / "losses_of_mine.py")


def test_a_run_leaves_what_scripts_and_tensorboard_read(trained):
    with open(os.path.join(trained, "config.json"), encoding="utf-8") as file:
        assert json.load(file)["model"]["width"] == 4
    with open(os.path.join(trained, "metrics.jsonl"), encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    assert [line["step"] for line in lines if line["kind"] == "train"] == [2, 4, 6, 8]
    assert all(np.isfinite(line["loss"]) for line in lines if line["kind"] == "train")
    with open(os.path.join(trained, "evaluation.json"), encoding="utf-8") as file:
        evaluation = json.load(file)
    assert 1 < evaluation["images"] < 9 and 0 < evaluation["mean_dice"] < 1
    assert set(evaluation["iou"]) == {"background", "disc"}
    events = EventAccumulator(trained, size_guidance={"tensors": 0}).Reload()
    tags = set(events.Tags()["tensors"])
    assert {"train/loss", "train/loss/dice", "train/learning_rate", "train/gradient_norm", "eval/mean_dice"} <= tags
    # The few images there are, each once.
    assert sum(tag.startswith("panels/") for tag in tags) == evaluation["images"] and "panels/worst_1" in tags
    assert {"confusion", "training_crops", "precision_recall/disc/pr_curves", "train/epoch"} <= tags
    assert any(tag.startswith("gradient_norm_by_layer/") for tag in tags)
    assert events.Tags()["graph"]


def test_the_same_command_again_says_that_it_is_done_and_harms_nothing(trained, flags, capsys):
    def content():
        """Everything that a second start could harm; TensorBoard's session start and the lock are its own."""
        paths = [os.path.join(folder, name) for folder, _, names in os.walk(trained) for name in names]
        kept = [path for path in paths if "tfevents" not in path and not path.endswith(".lock")]
        return {path: pathlib.Path(path).read_bytes() for path in kept}

    before = content()
    assert run(f"--workdir={trained}", *flags) == 0
    assert "This run has ended already, at step 8 of 8; nothing was done or changed." in capsys.readouterr().out
    assert content() == before


def test_a_changed_config_is_refused_by_name(trained, flags, capsys):
    code = run(f"--workdir={trained}", *flags, "--config.optimizer.learning_rate=0.1")
    told = capsys.readouterr().err
    assert code == 2
    assert "config.optimizer.learning_rate" in told and "--force_config" in told and "Traceback" not in told


def test_evaluation_repeats_the_score_of_the_checkpoint(trained):
    with open(os.path.join(trained, "metrics.jsonl"), encoding="utf-8") as file:
        last = [json.loads(line) for line in file if '"eval"' in line][-1]
    assert run("--mode=evaluate", f"--workdir={trained}", "--checkpoint=latest") == 0
    with open(os.path.join(trained, "evaluation-step=8.json"), encoding="utf-8") as file:
        assert json.load(file)["mean_dice"] == pytest.approx(last["mean_dice"], abs=1e-9)


def test_an_evaluation_with_other_settings_has_a_file_of_its_own(trained, capsys):
    path = os.path.join(trained, "evaluation.json")
    with open(path, encoding="utf-8") as file:
        before = file.read()
    assert run("--mode=evaluate", f"--workdir={trained}", "--config.evaluate.tile=64,64") == 0
    with open(path, encoding="utf-8") as file:
        assert file.read() == before
    with open(os.path.join(trained, "evaluation-tile=64x64.json"), encoding="utf-8") as file:
        assert json.load(file)["settings"] == {"evaluate.tile": [64, 64]}
    assert "evaluation-tile=64x64.json, named after what is not as in the run" in capsys.readouterr().out


def test_prediction_does_the_readable_files_and_names_the_other(trained, tmp_path, capsys):
    Image.fromarray(np.full((50, 70, 3), 90, np.uint8)).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    output = tmp_path / "out"
    assert run("--mode=predict", f"--workdir={trained}", f"--input={tmp_path}", f"--output={output}") == 1
    assert "bad.png" in capsys.readouterr().out
    with Image.open(output / "masks" / "good.png") as mask:
        assert mask.size == (70, 50) and set(np.unique(np.asarray(mask))) <= {0, 1}


def test_export_is_compared_with_the_model(trained, tmp_path, capsys):
    assert run("--mode=export", f"--workdir={trained}", f"--output={tmp_path}", "--formats=saved_model") == 0
    assert (tmp_path / "saved_model" / "saved_model.pb").exists()


def test_dice_as_pytorch_users_write_it_trains_on_the_embedded_images(users_losses, tmp_path):
    flags = ["--config.loss.name=losses_of_mine:as_in_pytorch", "--config.model.outputs=sigmoid"]
    flags += ["--config.train.length=2 steps", "--config.evaluate.every=100%"]
    assert run(f"--workdir={tmp_path}/run", *flags, *SMALL) == 0
    with open(tmp_path / "run" / "evaluation.json", encoding="utf-8") as file:
        evaluation = json.load(file)
    assert evaluation["images"] == 40 and set(evaluation["iou"]) == {"background", "nucleus"}


@pytest.mark.parametrize(
    ("loss", "line", "words"),
    [
        ("detached", 14, ["tf.stop_gradient", "Take tf.stop_gradient away"]),
        ("old_keras", 19, ["K.flatten(y_true)  ->", "K.sum("]),
        ("thresholded", 24, ["y_pred) > 0.5", "Use the probability itself"]),
        ("not_a_number", 29, ["Log", "not finite"]),
        ("broken", 33, ["losses_of_mine.py"]),
        ("integers", 37, ["float32 that does not match type int32", "y_true = tf.cast(y_true, y_pred.dtype)"]),
    ],
)
def test_a_broken_loss_ends_before_the_first_update_with_its_line(users_losses, tmp_path, capsys, loss, line, words):
    name = f"--config.loss.name=losses_of_mine:{loss}"
    code = run(f"--workdir={tmp_path}/run", "--config.train.length=4 steps", name, *SMALL)
    told = capsys.readouterr().err
    assert code == 1
    assert f"{users_losses}:{line}" in told
    for word in words:
        assert word in told
    assert "Traceback" not in told
    assert not os.path.isdir(os.path.join(tmp_path, "run", "checkpoints"))
    # What the guard found is kept beside the curves; of an error that is the user's own it knows nothing.
    notes = guard_notes(tmp_path / "run")
    assert (f"losses_of_mine.py:{line}" in notes[-1]) if notes else loss in ("broken", "integers")


def test_warnings_are_given_once_and_kept_and_training_goes_on(users_losses, tmp_path, capsys):
    flags = [
        "--config.loss.name=losses_of_mine:detached",
        "--config.guard.missing=warn",
        "--config.guard.zero_steps=2",
        "--config.guard.allow=down0.*",
        "--config.train.length=4 steps",
        "--config.train.accumulate=2",
        "--config.evaluate.every=0 steps",
    ]
    assert run(f"--workdir={tmp_path}/run", *flags, *SMALL) == 0
    told = capsys.readouterr()
    assert told.err.count("get no gradient from this loss") == 1 and f"{users_losses}:14" in told.err
    # Two calls of two steps each: what has not moved after the first is not named again after the second.
    assert told.out.count("has been exactly zero for 2 steps") == 1
    missing, zero = guard_notes(tmp_path / "run")
    assert "losses_of_mine.py:14" in missing and "exactly zero for 2 steps" in zero
    # What may stay without a gradient is not warned of either.
    assert "down1_1_conv/kernel" in zero and "down0" not in zero


def guard_notes(workdir):
    """What TensorBoard shows under "guard", as markdown."""
    events = EventAccumulator(str(workdir), size_guidance={"tensors": 0})
    events.Reload()
    if "guard" not in events.Tags()["tensors"]:
        return []
    assert events.SummaryMetadata("guard").plugin_data.plugin_name == "text"
    return [event.tensor_proto.string_val[0].decode() for event in events.Tensors("guard")]


def test_check_finds_what_is_wrong_with_a_loss(users_losses, tmp_path, capsys, monkeypatch):
    (tmp_path / "scores_of_mine.py").write_text(
        "import tensorflow as tf\n\n\ndef dice(y_true, y_pred):\n    p = tf.nn.softmax(tf.cast(y_pred, tf.float32))\n"
        "    return 2.0 * tf.reduce_sum(p * y_true) / tf.reduce_sum(p + y_true)\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert run("--mode=check", f"--workdir={tmp_path}/run", "--config.loss.name=scores_of_mine:dice", *SMALL) == 1
    assert "a score needs a minus" in capsys.readouterr().out
    # A loss that cannot be computed is reported once, for all predictions, and then explained.
    name = "--config.loss.name=losses_of_mine:old_keras"
    assert run("--mode=check", f"--workdir={tmp_path}/run", name, *SMALL) == 1
    out = " ".join(capsys.readouterr().out.split())
    assert out.count("has no attribute 'flatten'") == 2 and "K.flatten(y_true) ->" in out
    with Image.open(tmp_path / "run" / "check.png") as picture:
        assert picture.size == (3 * 32, 4 * 32 + 3 * 4)


@pytest.mark.slow
def test_check_finds_nothing_in_a_long_healthy_run_and_leaves_no_trace(tmp_path, capsys):
    """Its first steps are all warm-up: a batch is learned at the full rate all the same."""
    flags = [*SMALL, "--config.train.length=200000 steps", "--config.guard.derivatives=true"]
    assert run("--mode=check", f"--workdir={tmp_path}/run", *flags) == 0
    out = capsys.readouterr().out
    assert "Nothing wrong was found." in out and "loss on one batch, 30 steps" in out
    assert "Along one direction the gradient says" in out
    assert sorted(os.listdir(tmp_path / "run")) == ["check.png", "recipe.py"]
