"""A section made in Python: wrong names, types and values are answered as a wrong flag is, all at once."""

import copy
import dataclasses
import inspect
import pickle

import numpy as np
import pytest

import configs.sweep  # noqa: F401 - a section more, as in the program
from configs import knobs, schema
from configs.knobs import ConfigError
from configs.reading.interval import Interval
from configs.schema import Augment, Config, Data, Evaluate, Guard, Loss, Model, Optimizer, Train


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Train(batch_size=0), ["train.batch_size=0: it has to be from 1 to 1048576."]),
        (lambda: Train(batch_size=-3), ["train.batch_size=-3"]),
        (lambda: Train(batch_size="8"), ["train.batch_size: '8' is text, not a whole number."]),
        (lambda: Train(batch_size=2.5), ["train.batch_size: 2.5 is a number, not a whole number."]),
        (lambda: Train(batch_size=None), ["train.batch_size: None is nothing"]),
        (lambda: Train(jit_compile=1), ["train.jit_compile: 1 is a whole number, not true or false"]),
        (lambda: Train(length=2), ["train.length: 2 is a whole number", '"2 steps", "2 epochs"', '"2%"']),
        (lambda: Train(length="2"), ["train.length", "no unit", '"2 steps", "2 epochs"']),
        (lambda: Train(length="2 epoks"), ["train.length", '"2 epochs"']),
        (lambda: Train(lenght="2 epochs"), ["Train(lenght=…): there is no such field. Did you mean length?"]),
        (lambda: Train(zzzz=1), ["Train(zzzz=…): there is no such field."]),
        # Of another section, by its own name or by another framework's.
        (lambda: Config(batch_size=8), ["Config(batch_size=…): there is no such field. Train(batch_size=…) has it."]),
        (lambda: Train(lr=1e-3), ["Train(lr=…): there is no such field. Optimizer(learning_rate=…) has it."]),
        (lambda: Train(seed=1), ["Train(seed=…): there is no such field. Config(seed=…) and Sweep(seed=…) have it."]),
        (lambda: Train(epochs=2), ["Train(epochs=…): there is no such field. Did you mean length?"]),
        (lambda: Data(crop=2), ["Data(crop=…): there is no such field. Augment(crop=…) has it."]),
        (lambda: Train("2 epochs"), ["Train('2 epochs'): fields are given by name, as Train(length=…)."]),
        (lambda: Config(optimiser=Optimizer()), ["Config(optimiser=…)", "Did you mean optimizer?"]),
        (lambda: Config(optimizer="adam"), ["optimizer is 'adam'", "Write optimizer=Optimizer(…)."]),
        (lambda: Config(train=Train), ["train is <class", "Write train=Train(…)."]),
        (lambda: Config(seed=2**31), ["seed=2147483648", "32-bit"]),
        (lambda: Config(strategy="miror"), ["strategy: 'miror'", "mirrored"]),
        (lambda: Config(name="a\nb"), ["name=", "cannot be printed"]),
        (lambda: Augment(crop=128), ["augment.crop: 128 is a whole number, not 2 or 3 whole numbers"]),
        (lambda: Augment(crop=(128, 0)), ["augment.crop=(128, 0)", "from 1 to 16384"]),
        (lambda: Augment(contrast=1.0), ["augment.contrast=1.0", "to below 1"]),
        (lambda: Data(mask_ids=((1, 99999),)), ["data.mask_ids", "65535"]),
        (lambda: Data(classes="abc"), ["data.classes: 'abc' is text, not a list of texts"]),
        (lambda: Model(options={1: 2}), ["model.options", "the key 1 is not text"]),
        (lambda: Loss(weights=(float("nan"),)), ["loss.weights: nan is not a finite number"]),
        (lambda: Optimizer(learning_rate=0), ["optimizer.learning_rate=0.0", "above 0"]),
        (lambda: Guard(allow=("(a",)), ["guard.allow=('(a',)", "regular expression"]),
        (lambda: Data(source=[np.zeros(2)]), ["data.source: [array", "pass the object itself to Run(data=…)"]),
        (lambda: Model(name=object()), ["model.name: <object", "pass the object itself to Run(model=…)"]),
        (lambda: Model(name="resnet50"), ["It is an encoder: ", "model.name=encoder_unet", "model.encoder=ResNet50"]),
        (lambda: Data(source="/"), ["It is a folder: ", "data.source=folder", "data.path=/"]),
        (lambda: Optimizer(name="adan"), ["optimizer.name='adan': it is not one of", "Did you mean 'adam'?"]),
        (lambda: Optimizer(schedule=lambda step: 1.0), ["optimizer.schedule: <function", "Run(schedule=…)"]),
        (lambda: Evaluate(metrics=(len,)), ["evaluate.metrics", "Run(metrics=…)"]),
        (lambda: Train(actions=((100, len),)), ["train.actions", "Run(actions=…)"]),
        (lambda: Train(actions=("100: my:log",)), ["train.actions", "'100' has no unit"]),
        (lambda: Config(task="teacher"), ["task='teacher'", '"package.module:name"']),
        (lambda: dataclasses.replace(Train(), batch_size=0), ["train.batch_size=0"]),
        (lambda: dataclasses.replace(Train(), lenght=""), ["Did you mean length?"]),
    ],
)
def test_a_wrong_section_is_answered_in_words(make, named):
    with pytest.raises(ConfigError) as error:
        make()
    for text in named:
        assert text in str(error.value)
    assert len(error.value.problems) == 1


def test_all_mistakes_of_a_section_come_together():
    with pytest.raises(ConfigError) as error:
        Train(batch_size=0, accumulate=0, lenght="x", log_every=5)

    named = ("lenght", "train.batch_size", "train.accumulate", "train.log_every")
    assert len(error.value.problems) == 4
    assert all(any(name in problem for problem in error.value.problems) for name in named)
    assert str(error.value).startswith("4 mistakes in the config:\n  1. ")
    assert isinstance(error.value, ValueError)
    assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)


def test_values_become_exactly_their_fields_types():
    augment = Augment(crop=[64, np.int64(96)], brightness=0, scale=[1, np.float32(1.25)])

    assert augment.crop == (64, 96) and type(augment.crop[1]) is int
    assert type(augment.brightness) is float
    assert augment.scale == (1.0, 1.25) and type(augment.scale[1]) is float


def test_options_of_two_sections_are_not_the_same_mapping():
    given = {"blocks": 3}
    model = Model(options=given)
    given["blocks"] = 4

    assert model.options == {"blocks": 3}
    assert Model().options is not Model().options


def test_a_section_stays_a_frozen_dataclass_that_shows_its_fields():
    train = Train(batch_size=4)

    assert copy.deepcopy(train) == train == pickle.loads(pickle.dumps(train))
    assert "batch_size" in inspect.signature(Train).parameters
    with pytest.raises(dataclasses.FrozenInstanceError):
        train.batch_size = 8


def test_unchecked_takes_any_value_but_no_unknown_name():
    with knobs.unchecked():
        assert Train(batch_size=0).batch_size == 0
        with pytest.raises(ConfigError, match="Did you mean length"):
            Train(lenght=3)
    with pytest.raises(ConfigError):
        Train(batch_size=0)


def test_a_new_field_is_declared_in_one_place():
    @knobs.section
    class Filter:
        radius: int = knobs.knob(3, "Radius of the filter.", unit="pixels", within="[1, 99]")

    assert Filter().radius == 3
    with pytest.raises(ConfigError, match="filter.radius=100: it has to be from 1 to 99"):
        Filter(radius=100)


@pytest.mark.parametrize(
    ("text", "inside", "outside", "words"),
    [
        ("[0, 1)", [0, 0.5], [-0.1, 1, 1.5, float("nan")], "from 0 to below 1"),
        ("(0, 1)", [0.5], [0, 1], "above 0 to below 1"),
        ("[1, inf)", [1, 10**12], [0], "at least 1"),
        ("(0, inf)", [1e-9], [0, -1], "above 0"),
        ("[-1, 65535]", [-1, 65535], [-2, 65536], "from -1 to 65535"),
        ("[0, 2147483647]", [2**31 - 1], [2**31], "from 0 to 2147483647"),
    ],
)
def test_an_interval(text, inside, outside, words):
    interval = Interval.parse(text)

    assert all(number in interval for number in inside)
    assert not any(number in interval for number in outside)
    assert str(interval) == words


def test_what_is_no_interval_is_refused():
    with pytest.raises(ValueError, match="is not an interval"):
        Interval.parse("0 to 1")


def test_every_section_of_the_schema_is_checked():
    for name in ("Data", "Augment", "Model", "Loss", "Optimizer", "Train", "Evaluate", "Checkpoint", "Guard", "Config"):
        with pytest.raises(ConfigError):
            getattr(schema, name)(no_such_field=1)
