"""train.accumulate=auto: a step that does not fit is run again in smaller micro-batches, as if configured like that.

The lack of memory is TensorFlow's own: a model that asks for 2^50 bytes where it is given more images than "fit".
"""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from configs.schema import Augment, Config, Data, Evaluate, Model, Optimizer, Train
from trainer import Run, UserError
from trainer.actions.micro_batches import next_number
from trainer.checkpoints import folder

_FITS = 2
# Wakes up at this number of calls of the layer in a run of its own: the lack of memory comes in the middle of a call.
_CALLS = {"done": 0, "until": 0}


def _counted(batch):
    _CALLS["done"] += 1
    return np.int64(batch if _CALLS["done"] > _CALLS["until"] else 0)


@keras.saving.register_keras_serializable("tests")
class Hungry(keras.layers.Layer):
    """Passes images on; more than `_FITS` at a time in training take more memory than there is."""

    def call(self, inputs, training=False):
        if not training:
            return inputs
        batch = tf.numpy_function(_counted, [tf.shape(inputs, tf.int64)[0]], tf.int64)
        huge = tf.cond(batch > _FITS, lambda: tf.random.uniform([2**24, 2**24])[:1, :1], lambda: tf.zeros([1, 1]))
        return inputs + tf.cast(tf.reduce_mean(huge) * 0.0, inputs.dtype)


def _model(input_channels, outputs):
    """Everything that a forward pass may write: batch statistics, the noise of dropout; before what fails."""
    images = keras.Input((None, None, input_channels))
    x = keras.layers.Conv2D(4, 3, padding="same", use_bias=False, name="first")(images)
    x = keras.layers.BatchNormalization(synchronized=True, name="norm")(x)
    x = keras.layers.SpatialDropout2D(0.3, seed=1, name="dropout")(x)
    x = Hungry(name="hungry")(x)
    return keras.Model(images, keras.layers.Conv2D(outputs, 1, name="last")(x))


def _data():
    images = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3)).astype(np.uint8)
    return {"train": (images, (images[..., 0] > 128).astype(np.uint8)), "validation": None}


def _run(workdir, accumulate, **train):
    train = {"length": "6 steps", "batch_size": 8, "steps_per_call": 3, "log_every": "2 steps", **train}
    replicas = train.pop("replicas", 0)
    config = Config(
        data=Data(classes=("background", "bright")),
        model=Model(normalization="batch"),
        augment=Augment(crop=(16, 16)),
        optimizer=Optimizer(ema_decay=0.9),
        train=Train(accumulate=accumulate, **train),
        evaluate=Evaluate(panels=0),
        logical_devices=replicas,
        strategy="mirrored" if replicas else "one",
    )
    return Run(config, workdir=workdir, model=_model, data=_data())


def _arrays(run):
    return {path: variable.numpy() for path, variable in run.state.variables_by_path().items()}


def _equal(first, second):
    assert first.keys() == second.keys()
    unequal = [path for path in first if not np.array_equal(first[path], second[path])]
    assert not unequal


def test_the_result_is_that_of_the_number_asked_for_outright(tmp_path, capsys):
    outright = _run(tmp_path / "4", 4)
    outright.train()
    capsys.readouterr()
    found = _run(tmp_path / "auto", "auto")
    found.train()

    _equal(_arrays(outright), _arrays(found))
    own = [name for name in outright.report if name.startswith(("images_per_second", "waiting_for_data", "memory/"))]
    assert outright.report == found.report | {name: outright.report[name] for name in own}
    assert found.found_micro_batches == {0: 4}
    output = " ".join(capsys.readouterr().out.split())
    assert output.count("did not fit in memory") == 1
    assert (
        "Step 1 in 1 micro-batch of 8 images did not fit in memory: no room for a tensor [16777216, 16777216]" in output
    )
    assert "from here on steps are computed in 4 micro-batches of 2 (train.accumulate=auto)" in output
    assert json.loads((tmp_path / "auto" / "config.json").read_text(encoding="utf-8"))["micro_batches"] == {"0": 4}


def test_a_step_that_fails_later_and_a_run_that_goes_on(tmp_path, monkeypatch):
    """Three steps in one piece fit, the fourth no longer does: the three are done again as they were."""
    monkeypatch.setitem(_CALLS, "done", 0)
    monkeypatch.setitem(_CALLS, "until", 4)
    run = _run(tmp_path, "auto", steps_per_call=5)
    run.train()
    # The fifth call of the layer is the fifth step's; the first of two micro-batches of four fails as well.
    assert run.found_micro_batches == {4: 4}
    whole, first = _arrays(run), 4

    # The same, stopped before and after the step that did not fit.
    again = _run(tmp_path / "again", "auto")
    again.found_micro_batches = dict(run.found_micro_batches)
    monkeypatch.setitem(_CALLS, "until", 10**9)
    again.train(stop=lambda: again.current_step >= 4)
    assert again.current_step == 4 == first and folder.list_steps(tmp_path / "again")
    resumed = _run(tmp_path / "again", "auto")
    resumed.train()
    assert resumed.found_micro_batches == run.found_micro_batches
    _equal(whole, _arrays(resumed))


def test_replicas_and_a_loop_of_ones_own(tmp_path):
    outright = _run(tmp_path / "2", 2, replicas=2)
    outright.train()
    found = _run(tmp_path / "auto", "auto", replicas=2)
    found.train()
    assert found.found_micro_batches == {0: 2}
    _equal(_arrays(outright), _arrays(found))

    steps = {accumulate: _run(tmp_path / f"own {accumulate}", accumulate) for accumulate in (4, "auto")}
    image, label = _data()["train"]
    for run in steps.values():
        for first in (0, 4):
            report = run.step({"image": image[first : first + 8], "label": label[first : first + 8]})
        assert np.isfinite(report["loss"])
    _equal(*map(_arrays, steps.values()))
    # A second process takes up what the first found, and does not try more again.
    again = _run(tmp_path / "own auto", "auto")
    again.step({"image": image[:8], "label": label[:8]})
    assert again.found_micro_batches == {0: 4} and list(again._own_loop._step.__self__._compiled) == [4]


def test_one_image_that_does_not_fit_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(f"{__name__}._FITS", 0)
    run = _run(tmp_path, "auto", batch_size=2)
    with pytest.raises(UserError, match="Out of memory in training after step 0") as raised:
        run.train()
    assert "1 image of 16 x 16 pixels at a time: train.batch_size=2 in 2 micro-batches" in str(raised.value)
    assert "accumulate" not in str(raised.value)


class _Greedy:
    """Once it is opened, NumPy lacks memory for one of its examples."""

    opened = False

    def __len__(self):
        return 12

    def __getitem__(self, index):
        image, label = (part[index] for part in _data()["train"])
        return image, label if index != 7 or not self.opened else np.empty((2**24, 2**24))


@pytest.mark.parametrize("bad_files", ["stop", "skip"])
def test_a_lack_of_memory_in_the_data_is_not_the_steps(tmp_path, bad_files):
    data = _Greedy()
    config = _run(tmp_path, "auto").config
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, bad_files=bad_files, cache_mib=64))
    run = Run(config, workdir=tmp_path, model=_model, data={"train": data, "validation": None})
    run.data  # noqa: B018 - opened
    data.opened = True
    with pytest.raises(UserError) as raised:
        run.train()
    assert not run.found_micro_batches
    text = str(raised.value)
    assert text.startswith("Out of memory in reading the data, at train[7]: no room for an array [16777216, 16777216]")
    assert "of 2,048.0 TiB" in text and "Data(cache_mib=16)" in text and "Data(max_pixels" in text, text


@pytest.mark.parametrize(("share", "numbers"), [(8, [2, 4, 8]), (6, [2, 6]), (7, [7]), (12, [2, 4, 12]), (1, [])])
def test_the_numbers_that_are_tried(share, numbers):
    found, count = [], 1
    while (count := next_number(share, count)) is not None:
        found.append(count)
    assert found == numbers
