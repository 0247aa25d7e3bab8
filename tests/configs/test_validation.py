"""A whole config judged: `check`, parts that are passed as objects, fields that nothing reads, modules."""

import dataclasses
import inspect

import keras
import pytest

from configs.knobs import ConfigError
from configs.reading import optimizers, validation
from configs.reading.fields import all_fields
from configs.reading.references import module_problem
from configs.schema import Config, Data, Evaluate, Loss, Model, Optimizer, Train


def test_a_good_config_passes():
    validation.check(Config())


def test_every_problem_is_in_one_error():
    config = Config(
        train=Train(accumulate=3, batch_size=8), loss=Loss(name="dyce"), optimizer=Optimizer(options={"beta_3": 1})
    )
    with pytest.raises(ConfigError) as error:
        validation.check(config)

    assert [problem.partition("=")[0] for problem in error.value.problems] == [
        "loss.name",
        "optimizer.options",
        "train.accumulate",
    ]


@pytest.mark.parametrize(
    ("config", "given"),
    [
        (Config(data=Data(source="folder")), ["data"]),
        (Config(data=Data(classes=("a", "b", "c"), mask_encoding="binary")), ["data"]),
        (Config(model=Model(name="no_such_module:net")), ["model"]),
        (Config(loss=Loss(name="no_such_module:dice")), ["loss"]),
        (Config(optimizer=Optimizer(name="no_such_module:Lion")), ["optimizer"]),
        (Config(optimizer=Optimizer(schedule="no_such_module:rate")), ["schedule"]),
        (Config(task="no_such_module:Task"), ["task"]),
    ],
)
def test_the_name_of_a_part_handed_over_as_an_object_is_not_judged(config, given):
    with pytest.raises(ConfigError):
        validation.check(config)
    validation.check(config, given=given)


def test_a_crop_of_any_size_suits_a_model_handed_over():
    config = Config(augment=dataclasses.replace(Config().augment, crop=(100, 100)))
    with pytest.raises(ConfigError, match="multiples of 16"):
        validation.check(config)
    validation.check(config, given=["model"])


def test_a_metric_of_ones_own_may_decide():
    validation.check(Config(evaluate=Evaluate(metrics=("json:f1",), metric="f1")))
    validation.check(Config(evaluate=Evaluate(metric="boundary")), metrics=["boundary"])
    with pytest.raises(ConfigError, match="mean_dice, mean_iou, pixel_accuracy, loss, f1"):
        validation.check(Config(evaluate=Evaluate(metrics=("json:f1",), metric="f2x")))


def test_what_nothing_reads_is_no_error_and_is_said():
    config = Config(optimizer=Optimizer(name="sgd", weight_decay=0.1), model=Model(name="json:net", width=8))

    validation.check(config)
    assert [problem.text for problem in validation.unread(config)] == [
        "model.width=8: model.name=json:net does not read it; unet, encoder_unet do.",
        "optimizer.weight_decay=0.1: optimizer.name=sgd does not read it; adamw does.",
    ]
    assert validation.unread(Config(optimizer=Optimizer(name="sgd"))) == []
    (handed,) = validation.unread(Config(optimizer=Optimizer(beta_1=0.5)), given=["optimizer"])
    assert "the optimizer given does not read it" in handed.text
    config = Config(optimizer=Optimizer(learning_rate=0.5, warmup="1%", clip_norm=2.0))
    kept = validation.unread(config, given=["optimizer"], own_rate=True)
    assert [problem.fields for problem in kept] == [("optimizer.learning_rate",), ("optimizer.warmup",)]
    assert validation.unread(config, given=["optimizer"]) == []  # a class gets the run's rate


def test_the_optimizers_are_those_of_keras():
    found = {}
    for name, value in vars(keras.optimizers).items():
        if inspect.isclass(value) and "learning_rate" in inspect.signature(value).parameters:
            taken = set(inspect.signature(value).parameters) - {"name", "kwargs"}
            found[name.lower()] = taken - optimizers.DECIDED.keys()

    assert {name: set(options) for name, options in optimizers.OPTIMIZERS.items()} == found
    assert all_fields()["optimizer.name"].knob.names == tuple(sorted(found))


def test_a_field_of_an_optimizer_is_one_of_its_options():
    for path, field in all_fields().items():
        if path.startswith("optimizer."):
            for name in field.knob.read_by.get("name", ()):
                assert path.removeprefix("optimizer.") in optimizers.OPTIMIZERS[name]


def test_who_reads_a_field_is_a_built_in_name():
    for path, field in all_fields().items():
        for sibling, readers in field.knob.read_by.items():
            assert set(readers) <= set(all_fields()[f"{path.partition('.')[0]}.{sibling}"].knob.names)


@pytest.mark.parametrize("file", ["losses.py", "trainer.py", "mine.py", "package/part.py", "space/deep/part.py"])
def test_a_module_of_the_current_directory_is_found_and_not_imported(tmp_path, monkeypatch, file):
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("raise SystemExit('imported')\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    assert module_problem(file.removesuffix(".py").replace("/", ".") + ":dice") == ""


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("my_loses:dice", "there is no module 'my_loses'. Did you mean my_losses:dice?"),
        ("package.prt:dice", "there is no module 'package.prt'. Did you mean package.part:dice?"),
        ("pakage.part:dice", "there is no module 'pakage'."),
        ("my_losses.dice:f", "there is no module 'my_losses.dice'."),
        ("my_losses.py:dice", "Write my_losses:dice, without .py."),
        ("my losses:dice", "package.module:name"),
        ("my_losses:", "package.module:name"),
        ("my_losses:1", "package.module:name"),
    ],
)
def test_a_module_that_is_not_there_is_named_with_the_nearest(tmp_path, monkeypatch, name, named):
    (tmp_path / "my_losses.py").touch()
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "part.py").touch()
    monkeypatch.chdir(tmp_path)

    assert named in module_problem(name)
