"""Every script of docs/examples, run as a reader runs it: from an empty folder; and what each of them promises."""

import dataclasses
import json
import logging
import os
import re
import runpy
import sqlite3
import subprocess
import sys

import keras
import numpy as np
import pytest

from configs.schema import Train
from trainer import Phase, Run

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FOLDER = os.path.join(ROOT, "docs", "examples")
NAMES = sorted(name.removesuffix(".py") for name in os.listdir(FOLDER) if name.endswith(".py"))

pytestmark = pytest.mark.slow


@pytest.fixture
def example(tmp_path, monkeypatch, capsys):
    """Runs a script in an empty folder; gives its globals and the lines that it printed."""
    monkeypatch.chdir(tmp_path)

    def run(name):
        values = runpy.run_path(os.path.join(FOLDER, f"{name}.py"), run_name="__main__")
        return values, capsys.readouterr().out.splitlines()

    return run


def one_layer(outputs):
    image = keras.Input((None, None, 1))
    return keras.Model(image, keras.layers.Conv2D(outputs, 3, padding="same")(image / 255))


def number(lines, pattern):
    """The number in the first line that matches."""
    return float(next(found[1] for line in lines if (found := re.search(pattern, line))))


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_short_and_shown(name):
    with open(os.path.join(FOLDER, f"{name}.py"), encoding="utf-8") as file:
        text = file.read()
    assert text.count("\n") < 60
    with open(os.path.join(ROOT, "docs", "library.md"), encoding="utf-8") as file:
        assert f"examples/{name}.py" in file.read()


def test_the_documentation_shows_what_runs(monkeypatch):
    """A block after "From [x.py]" is of that script, word for word; the others run by themselves."""
    with open(os.path.join(ROOT, "docs", "library.md"), encoding="utf-8") as file:
        blocks = re.split(r"^```(\w*)\n(.*?)^```$", file.read(), flags=re.MULTILINE | re.DOTALL)
    logger, shown = logging.getLogger("gradline"), 0
    monkeypatch.setattr(logger, "level", logger.level)
    monkeypatch.setattr(logger, "handlers", logger.handlers[:])
    for before, language, block in zip(blocks[::3], blocks[1::3], blocks[2::3], strict=False):
        if language != "python":
            continue
        script = re.search(r"[Ff]rom\s+\[(\w+\.py)\][^`#]*\s*$", before)
        if script is None:
            exec(compile(block, "docs/library.md", "exec"), {})
            continue
        shown += 1
        with open(os.path.join(FOLDER, script[1]), encoding="utf-8") as file:
            assert block in file.read(), (script[1], block)
    assert shown >= 10


def test_arrays(example, tmp_path):
    values, lines = example("arrays")
    assert values["result"].scores["mean_dice"] > 0.9 and values["result"].step == 40
    assert number(lines, r"([\d.]+)% of the pixels right") > 95
    assert (tmp_path / "exported" / "saved_model" / "saved_model.pb").exists()
    with open("runs/discs/config.json", encoding="utf-8") as file:
        assert json.load(file)["objects"] == {"model": "keras.src.models.sequential:Sequential", "data": "tuple"}
    # What can be done next is said in Python: the program cannot make these objects.
    assert any("run.predict(images)" in line for line in lines) and not any("main.py" in line for line in lines)


def test_augmentation(example):
    values, lines = example("augmentation")
    assert "asked to stop at step 30" in lines and "the same weights, bit for bit: True" in lines
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(values["make_run"].__globals__, "wave", lambda example, random: example)
        without = values["make_run"]("runs/without")
        without.train()
    pairs = zip(without.task.model.get_weights(), values["whole"].task.model.get_weights(), strict=True)
    assert not any(np.array_equal(a, b) for a, b in pairs)


def test_metric(example):
    values, lines = example("metric")
    run, result = values["run"], values["result"]
    assert "boundary_f1 has not risen for 3 evaluations" in result.reason and result.step < 100
    assert result.step == result.best_step + 30
    assert run.evaluate("best").score("boundary_f1") == pytest.approx(result.best_score, abs=1e-9)
    with open("runs/metric/evaluation.json", encoding="utf-8") as file:
        last = json.load(file)
    assert last["metrics"]["boundary_f1"] < result.best_score and 0.9 < last["metrics"]["specificity"] <= 1
    assert sum("boundary_f1" in line for line in lines if line.startswith("eval")) >= 4


def test_tracker(example):
    values, lines = example("tracker")
    assert values["result"].reason.startswith("mean Dice is above 0.95")
    # The same tracker in a run of two sessions.
    config = dataclasses.replace(values["config"], train=Train(length="40 steps", log_every="10 steps"))
    for last in (30, 40):
        run = Run(
            config,
            workdir="runs/again",
            model=one_layer,
            data=(values["images"], values["labels"]),
            actions=values["actions"][:2],
        )
        run.train(stop=lambda run=run, last=last: run.current_step >= last and last < 40)
    rows = sqlite3.connect("tracker.sqlite").execute("select run, step, name from numbers").fetchall()
    first, again = dict.fromkeys(run for run, _, _ in rows)
    assert sorted(step for run, step, name in rows if (run, name) == (again, "eval/mean_dice")) == [20, 40]
    assert sorted(step for run, step, name in rows if (run, name) == (again, "train/loss")) == [10, 20, 30, 40]
    assert first != again


def test_hdf5(example):
    values, lines = example("hdf5")
    assert values["result"].scores["mean_dice"] > 0.8
    assert values["run"].config.data.classes == ("tissue", "vessel", "bone")
    assert values["run"].data.validation.names[0] == "patient_3, slice 36"


def test_optimizer(example):
    values, lines = example("optimizer")
    optimizer, rates = values["run"].state.optimizer, values["rates"]
    assert isinstance(optimizer, values["SignDescent"]) and optimizer.momentum == 0.8
    assert int(optimizer.iterations.numpy()) == 60 and np.abs(optimizer.averages[0].numpy()).max() > 0
    assert max(rates, key=rates.get) == 30 and rates[20] == pytest.approx(rates[40]) and rates[60] < rates[10]
    assert values["result"].scores["mean_dice"] > 0.9


def test_two_inputs(example):
    values, lines = example("two_inputs")
    assert number(lines, r"with both inputs: ([\d.]+)") > 0.95
    keys = ("image", "depth", "gain")
    inputs = {key: np.stack([each[key] for each in values["examples"]]) for key in keys}
    inputs["image"] = inputs["image"][..., None]
    label = np.stack([each["label"] for each in values["examples"]])

    def right(**changed):
        return np.mean(values["run"].predict({**inputs, **changed}) == label)

    whole = right()
    assert whole > 0.98
    for key in keys:
        assert right(**{key: np.roll(inputs[key], 1, axis=0)}) < whole - 0.02, key


def test_mean_teacher(example):
    values, lines = example("mean_teacher")
    assert number(lines, r"labels for 6 of 48 images: ([\d.]+)") > 0.85
    run = Run(values["config"], workdir="runs/again", task=values["MeanTeacher"], data=values["data"])
    task = run.task
    before = [v.numpy() for v in task.teacher.variables]
    assert {id(v) for v in run.state.trainable} == {id(v) for v in task.student.trainable_variables}
    run.step({"image": values["images"][:8, ..., None], "label": values["given"][:8]})
    for old, slow, fast in zip(before, task.teacher.variables, task.student.variables, strict=True):
        np.testing.assert_allclose(slow.numpy(), 0.95 * old + 0.05 * fast.numpy(), rtol=1e-5, atol=1e-7)
    moved = [np.abs(fast.numpy() - old).max() for old, fast in zip(before, task.student.variables, strict=True)]
    assert max(moved) > 1e-4


def test_gan(example):
    values, lines = example("gan")
    before, after = (number(lines, pattern) for pattern in (r"([\d.]+) dB before", r"([\d.]+) dB after"))
    assert after > before + 2
    run = values["run"]
    assert [int(update.optimizer.iterations.numpy()) for update in run.state.updates] == [80, 80]
    batch = {"image": values["blurred"][:8, ..., None], "label": values["sharp"][:8]}
    for still, moving in (("critic", "painter"), ("painter", "critic")):

        class OneStandsStill(values["Sharpen"]):
            phases = tuple(
                Phase(
                    name=p.name,
                    terms=p.terms,
                    models=p.models,
                    optimizer=keras.optimizers.SGD(0.0 if p.name == still else 0.1),
                )
                for p in values["Sharpen"].phases
            )

        task = OneStandsStill()
        kept = {name: model.get_weights() for name, model in task.models().items()}
        Run(values["config"], workdir=f"runs/{still}", task=task, data=values["run"].parts.data).step(batch)
        pairs = {name: zip(kept[name], model.get_weights(), strict=True) for name, model in task.models().items()}
        assert all(np.array_equal(a, b) for a, b in pairs[still])
        assert all(np.abs(a - b).max() > 0 for a, b in pairs[moving])


def test_own_loop_in_a_process_of_its_own(tmp_path):
    """With nothing but the package on the path; a second session finds the checkpoint."""
    environment = {**os.environ, "PYTHONPATH": ROOT, "CUDA_VISIBLE_DEVICES": "-1"}
    call = [sys.executable, os.path.join(FOLDER, "own_loop.py")]
    first, second = (
        subprocess.run(
            call, cwd=tmp_path, env=environment, capture_output=True, text=True, encoding="utf-8", check=True
        ).stdout
        for _ in range(2)
    )
    assert number(first.splitlines(), r"step 60: .* mean Dice ([\d.]+)") > 0.9
    assert second.splitlines() == ["the next session goes on from step 60"]
