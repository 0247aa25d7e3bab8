"""Folds: every example held out once, groups whole; a run for each, and what all of them score."""

import csv
import dataclasses
import json
import pathlib

import keras
import numpy as np
import pytest

import main
from configs.reading.validation import problems
from configs.schema import Augment, Config, Data, Evaluate, Loss, Model, Train
from trainer import Run, UserError
from trainer.checkpoints import folder
from trainer.data import DataError, open_data
from trainer.data.sources.folds import fold_of
from trainer.prediction import postprocessing
from trainer.prediction.postprocessing import PostProcessing

random = np.random.default_rng(0)
LABELS = (random.uniform(size=(10, 16, 16)) > 0.5).astype("uint8")
IMAGES = (random.normal(60, 5, (10, 16, 16)) + 80 * LABELS).astype("uint8")


def config(**data):
    return Config(
        data=Data(**data),
        model=Model(width=2, depth=1),
        augment=Augment(crop=(16, 16)),
        train=Train(length="3 steps", batch_size=2),
        evaluate=Evaluate(panels=0),
    )


def names_of(source):
    return {*source.names}


def test_every_example_is_held_out_once():
    held = []
    for fold in range(3):
        data = open_data(config(folds=3, fold=fold), (IMAGES, LABELS))
        assert names_of(data.train) | names_of(data.validation) == {f"data[{n}]" for n in range(10)}
        assert names_of(data.train).isdisjoint(names_of(data.validation))
        assert any(note.startswith(f"fold {fold} of 3: ") for note in data.notes)
        held += data.validation.names
        for source in (data.train, data.validation):
            for index, name in enumerate(source.names):
                number = int(name[5:-1])
                np.testing.assert_array_equal(source.load(index).image[..., 0], IMAGES[number])
    assert sorted(held) == sorted(f"data[{n}]" for n in range(10))


def test_the_datas_own_splits_are_divided_together():
    both = {"train": (IMAGES[:6], LABELS[:6]), "validation": (IMAGES[6:], LABELS[6:])}
    data = open_data(config(folds=2), both)
    assert len(data.train) + len(data.validation) == 10
    assert len(names_of(data.train)) == len(data.train)


def test_a_group_is_never_on_both_sides_and_folds_are_even():
    names = [f"patient{number % 7}_slice{number}" for number in range(70)]
    section = Data(folds=3, group=r"(patient\d+)_")
    folds = fold_of(names, section)
    by_group = {}
    for name, fold in zip(names, folds, strict=True):
        by_group.setdefault(name.split("_")[0], set()).add(fold)
    assert all(len(found) == 1 for found in by_group.values())
    assert sorted(np.bincount(folds)) == [20, 20, 30]
    assert folds == fold_of(names, dataclasses.replace(section, fold=2))
    assert folds != fold_of(names, dataclasses.replace(section, split_seed=1))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"folds": 1}, "one fold would hold everything out"),
        ({"folds": 3, "fold": 3}, "they are 0 to 2"),
        ({"fold": 1}, "how many"),
    ],
)
def test_a_fold_that_is_not_there(data, reason):
    (problem,) = problems(config(**data))
    assert reason in problem.text


def test_too_few_examples_for_the_folds():
    with pytest.raises(DataError, match="data.folds=20: there are 10 examples, fewer than folds"):
        open_data(config(folds=20), (IMAGES, LABELS))


@pytest.fixture(scope="module")
def validated(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "all"
    run = Run(config(folds=2), workdir=workdir, data=(IMAGES, LABELS))
    return workdir, run.crossvalidate()


def test_all_examples_are_scored_by_the_run_that_held_them_out(validated):
    workdir, found = validated
    rows = list(csv.DictReader((workdir / "crossvalidation.csv").open(encoding="utf-8")))
    assert sorted(row["name"] for row in rows) == sorted(f"data[{n}]" for n in range(10))
    for fold in range(2):
        held = {row["name"] for row in rows if row["fold"] == str(fold)}
        data = open_data(config(folds=2, fold=fold), (IMAGES, LABELS))
        assert held == names_of(data.validation)
    content = json.loads((workdir / "crossvalidation.json").read_text(encoding="utf-8"))
    assert len(content["folds"]) == 2
    dice = np.mean([float(row["dice/class_1"]) for row in rows])
    assert content["scores"]["mean_dice"] == pytest.approx(dice) == pytest.approx(found.scores["mean_dice"])
    assert "mean of folds" in found.table() and "mean_dice" in found.table()


def test_a_fold_is_the_run_that_would_be_trained_alone(validated, tmp_path):
    workdir, _ = validated
    alone = Run(config(folds=2, fold=1), workdir=tmp_path / "alone", data=(IMAGES, LABELS))
    alone.train()
    first, second = (
        folder.read(folder.step_folder(str(place), 3)).arrays for place in (workdir / "fold_1", tmp_path / "alone")
    )
    assert first.keys() == second.keys()
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name], err_msg=name)


def test_what_is_done_is_not_trained_again(validated, tmp_path, capsys):
    workdir, found = validated
    run = Run(config(folds=2), workdir=workdir, data=(IMAGES, LABELS))
    again = run.crossvalidate()
    assert again.scores == found.scores
    answers = iter([False, False, True, True, True])
    stopped = Run(config(folds=2), workdir=tmp_path / "stopped", data=(IMAGES, LABELS)).crossvalidate(
        lambda: next(answers, True)
    )
    assert stopped.stopped and len(stopped.folds) < 2


def test_what_would_be_handed_on_trained_is_refused(tmp_path):
    model = keras.Sequential([keras.Input((None, None, 1)), keras.layers.Conv2D(2, 3, padding="same")])
    run = Run(config(folds=2), workdir=tmp_path, data=(IMAGES, LABELS), model=model, optimizer=keras.optimizers.Adam())
    with pytest.raises(UserError, match="(?s)model= is an object.*a function that makes it.*optimizer= is an object"):
        run.crossvalidate()
    with pytest.raises(UserError, match="data.folds says how many"):
        Run(config(), workdir=tmp_path, data=(IMAGES, LABELS)).crossvalidate()


def test_the_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = [
        "--config.model.width=2",
        "--config.model.depth=1",
        "--config.augment.crop=16,16",
        "--config.train.length=1 steps",
    ]
    np.save("unused.npy", IMAGES)
    pathlib.Path("pairs.py").write_text(
        "import numpy as np\n\n\ndef data(section):\n    images = np.arange(8 * 256).reshape(8, 16, 16) % 200\n"
        "    return images.astype('uint8'), (images > 100).astype('uint8')\n",
        encoding="utf-8",
    )
    command = ["main.py", "--mode=crossvalidate", "--config.data.source=pairs:data", "--config.data.folds=2", *small]
    assert main.main([*command, "--workdir=cv", "--config.train.batch_size=2"]) == 0
    assert "2 folds, 8 examples" in capsys.readouterr().out
    assert pathlib.Path("cv/crossvalidation.json").is_file() and pathlib.Path("cv/fold_1/config.json").is_file()
    # Each has seen half of what is scored.
    members = ["--ensemble=cv/fold_0", "--ensemble=cv/fold_1"]
    assert main.main(["main.py", "--mode=evaluate", *members, "--config.data.split=all"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "Ensemble of 2: cv/fold_0/" in out and "An ensemble of 2 on 8 images" in out


def test_folds_are_an_ensemble(validated, tmp_path):
    workdir, _ = validated
    run = Run(config(folds=2), workdir=workdir, data=(IMAGES, LABELS))
    alone = [
        Run(config(folds=2, fold=fold), workdir=workdir / f"fold_{fold}", data=(IMAGES, LABELS)) for fold in (0, 1)
    ]
    shares = [member.predict(IMAGES[:2], probabilities="float16").astype("float32") for member in alone]
    together = run.predict(IMAGES[:2], ensemble=workdir, probabilities="float16")
    np.testing.assert_allclose(together, np.mean(shares, axis=0), atol=2e-3)
    assert run.members == []
    with pytest.raises(
        UserError, match=r"(?s)Of the 5 images .* trained on some: .*fold_1 5\. .*crossvalidation\.json"
    ):
        run.evaluate(ensemble=[workdir])
    # What somebody names is scored; the warning is said.
    scores = run.evaluate(ensemble=[workdir], data=(IMAGES, LABELS))
    assert scores.images == 10 and not scores.without_postprocessing
    step = folder.step_folder(str(workdir / "fold_0"), 3)
    with pytest.raises(UserError, match="(?s)1. nowhere: there is no run in it.*2. .*fold_0 is named twice"):
        run.predict(IMAGES, ensemble=["nowhere", step, step])


def test_members_that_differ_are_refused_with_all_differences(validated, tmp_path):
    workdir, _ = validated
    other = config(classes=("ground", "thing"))
    other = dataclasses.replace(other, model=Model(width=2, depth=1, outputs="sigmoid"), loss=Loss(name="dice"))
    Run(other, workdir=tmp_path / "other", data=(IMAGES, LABELS)).train()
    run = Run(config(folds=2), workdir=workdir, data=(IMAGES, LABELS))
    with pytest.raises(UserError, match=r"(?s)1\. data\.classes: .*ground.*2\. model\.outputs: .*sigmoid"):
        run.predict(IMAGES, ensemble=[workdir, tmp_path / "other"])


def test_post_processing_is_chosen_out_of_fold_and_used_from_then_on(validated, capsys):
    workdir, _ = validated
    run = Run(config(folds=2), workdir=workdir, data=(IMAGES, LABELS))
    made = run.postprocess()
    output = capsys.readouterr().out
    assert "Dice on 10 images, each predicted by the fold of 2 that had not seen it" in output
    assert "note: 10 images are few" in output and "holes filled" in output
    path = workdir / "postprocessing.json"
    assert path.is_file() == bool(made)
    # Whatever helps these networks of three steps: with it written, it is in what is predicted and scored.
    steps = {"checkpoints": ["elsewhere/checkpoints/step_00000001", "elsewhere/checkpoints/step_00000003"]}
    content = PostProcessing(classes=("class_0", "class_1"), thresholds={"class_1": 0.999}, chosen=steps)
    postprocessing.save(str(workdir), content)
    assert (
        run.predict(IMAGES, ensemble=workdir).sum()
        == 0
        < run.predict(IMAGES, ensemble=workdir, postprocessing=False).sum() + 1
    )
    scores = run.evaluate(ensemble=workdir, data=(IMAGES, LABELS))
    assert scores.score("mean_dice") == 0.0 and "mean_dice" in scores.to_dict()["without_postprocessing"]
    assert "Of the masks before post-processing: mean Dice" in scores.table()
    assert "it was chosen with step_00000001, step_00000003, and this is step_" in capsys.readouterr().out
    # It is of the folds together, and not of others.
    capsys.readouterr()
    run.predict(IMAGES[:1], ensemble=[workdir / "fold_0", workdir / "fold_1" / "checkpoints" / "step_00000003"])
    run.predict(IMAGES[:1], ensemble=[workdir / "fold_0", workdir / "fold_0" / "checkpoints" / "step_00000003"])
    assert "was chosen with other networks than this ensemble" in capsys.readouterr().out
    path.unlink()
