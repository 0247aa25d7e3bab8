"""config.json and back, and what a change of config means for a run that has begun."""

import dataclasses
import json
import types
import typing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.reading import fields, migration, overrides
from configs.reading.serialization import differences, from_json, to_json
from configs.schema import Config


def _values(type_):
    kind = typing.get_origin(type_) or type_
    if kind is typing.Literal:
        return st.sampled_from(typing.get_args(type_))
    if kind in (typing.Union, types.UnionType):
        return st.one_of(*map(_values, typing.get_args(type_)))
    if kind is tuple:
        items = typing.get_args(type_)
        if items[-1] is Ellipsis:
            return st.lists(_values(items[0]), max_size=3).map(tuple)
        return st.tuples(*map(_values, items))
    simple = {
        bool: st.booleans(),
        int: st.integers(),
        float: st.floats(allow_nan=False, allow_infinity=False),
        str: st.text(st.characters(exclude_categories=["Cs"])),
    }
    if kind in simple:
        return simple[kind]
    return st.dictionaries(simple[str], st.one_of(st.integers(), st.lists(st.booleans()), st.none()))


_ANY_CONFIG = st.fixed_dictionaries({path: _values(field.type) for path, field in fields.all_fields().items()}).map(
    lambda values: fields.replace(Config(), values)
)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(_ANY_CONFIG)
def test_any_config_comes_back_equal(config):
    assert from_json(to_json(config)) == config
    assert from_json(to_json(config).encode().decode()) == config


def test_the_text_is_readable():
    lines = to_json(Config()).splitlines()

    assert '  "seed": 0,' in lines
    assert '    "learning_rate": 0.003,' in lines


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda tree: tree.update(format=99), "A newer version wrote it (format 99"),
        (lambda tree: tree.update(format="1"), "format: '1' is no number"),
        (lambda tree: tree["optimizer"].update(lr=1), "optimizer.lr is not a field. Did you mean optimizer.lea"),
        (lambda tree: tree.update(optimizer=3), "optimizer: 3 is not an object"),
        (lambda tree: tree.update(seed="1"), "seed: '1' is text"),
        (lambda tree: tree.update(seed=True), "seed: True"),
        (lambda tree: tree.update(seed=1.0), "seed: 1.0"),
        (lambda tree: tree["augment"].update(crop=[1, 2, 3, 4]), "augment.crop"),
        (lambda tree: tree["train"].update(accumulate="atuo"), "not a whole number or auto. Did you mean 'auto'?"),
        (lambda tree: tree["train"].update(accumulate=[1]), "train.accumulate: [1] is a list, not a whole number or"),
    ],
)
def test_another_text_is_refused(change, named):
    tree = json.loads(to_json(Config()))
    change(tree)
    with pytest.raises(ValueError) as error:
        from_json(json.dumps(tree))
    assert named in str(error.value)


def test_a_field_that_an_older_version_did_not_know_has_its_default():
    tree = json.loads(to_json(_change(seed=3, optimizer__beta_1=0.5, train__length="7 steps")))
    del tree["format"], tree["deterministic"], tree["optimizer"]["beta_1"], tree["guard"]

    assert from_json(json.dumps(tree)) == _change(seed=3, train__length="7 steps")


def test_a_renamed_field_is_found_under_its_old_name(monkeypatch):
    def renamed(tree):
        tree["train"]["length"] = tree["train"].pop("duration")
        return tree

    old = json.loads(to_json(Config()))
    old["train"]["duration"] = "7 steps"
    del old["train"]["length"]
    monkeypatch.setattr(migration, "FORMAT", 2)
    monkeypatch.setattr(migration, "STEPS", {1: renamed})

    assert from_json(json.dumps(old)).train.length == "7 steps"
    assert from_json(to_json(Config())) == Config()


def test_every_fault_of_a_text_is_named():
    tree = json.loads(to_json(Config()))
    tree.update(seed="1", deterministic=0, nme="x")
    with pytest.raises(ValueError) as error:
        from_json(json.dumps(tree))
    for name in ("seed", "deterministic", "nme"):
        assert name in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", '{"seed": NaN}', "[" * 100_000])
def test_what_is_no_config_is_refused(text):
    with pytest.raises(ValueError):
        from_json(text)


def _change(**values):
    return fields.replace(Config(), {path.replace("__", "."): value for path, value in values.items()})


@pytest.mark.parametrize(
    "values",
    [
        {"seed": 1},
        {"precision": "mixed_float16"},
        {"data__void_id": 7},
        {"data__train_split": "x"},
        {"augment__crop": (64, 64)},
        {"model__width": 8},
        {"loss__name": "dice"},
        {"loss__options": {"*": {}}},
        {"optimizer__learning_rate": 1.0},
        {"train__length": "2 steps"},
        {"train__batch_size": 16},
        {"train__accumulate": 2},
        {"evaluate__metric": "mean_iou"},
        {"evaluate__patience": 2},
    ],
)
def test_what_computes_the_weights_makes_another_run(values):
    (found,) = differences(Config(), _change(**values))

    ((path, new),) = values.items()
    assert (found.field, found.new, found.breaks) == (path.replace("__", "."), new, True)
    assert found.field in str(found) and repr(new) in str(found)


@pytest.mark.parametrize(
    "values",
    [
        {"name": "x"},
        {"strategy": "one"},
        {"data__path": "x"},
        {"data__cache_mib": 1},
        {"data__bad_files": "skip"},
        {"train__log_every": "9 steps"},
        {"train__steps_per_call": 3},
        {"evaluate__panels": 0},
        {"evaluate__every": "9 steps"},
        {"evaluate__tile": (64, 64)},
        {"checkpoint__every": "9 steps"},
        {"checkpoint__keep": 9},
        {"guard__missing": "warn"},
        {"guard__nonfinite": "skip"},
    ],
)
def test_what_is_shown_kept_and_read_from_leaves_the_run_the_same(values):
    (found,) = differences(Config(), _change(**values))

    assert not found.breaks


def test_evaluations_count_where_they_can_end_the_run():
    old, new = _change(evaluate__patience=2), _change(evaluate__patience=2, evaluate__every="9 steps")

    assert [(found.field, found.breaks) for found in differences(old, new)] == [("evaluate.every", True)]


def test_what_breaks_the_run_comes_first():
    found = differences(Config(), _change(name="x", checkpoint__keep=1, optimizer__beta_1=0.5))

    assert [problem.field for problem in found] == ["optimizer.beta_1", "name", "checkpoint.keep"]


def test_equal_configs_and_equal_durations_do_not_differ():
    assert differences(Config(), Config()) == []
    assert differences(Config(), _change(train__length="1_000  step", optimizer__warmup="5 percent")) == []


def test_a_recipe_may_say_lists_and_whole_numbers():
    loose = dataclasses.replace(Config(), augment=dataclasses.replace(Config().augment, crop=[64, 64], brightness=0))

    exact, problems = overrides.check_types(loose, "recipe.py")

    assert problems == []
    assert exact.augment.crop == (64, 64)
    assert isinstance(exact.augment.brightness, float)
    assert differences(exact, from_json(to_json(exact))) == []
