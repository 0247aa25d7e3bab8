"""The schema's documentation, the shipped recipes and the tables beside them are whole and current."""

import inspect
import os
import re
import typing

import keras
import pytest

from configs.reading import fields, validation
from configs.reading import help as document
from configs.reading import loading as recipes
from configs.reading.encoders import ENCODERS
from configs.reading.nearest import nearest
from configs.reading.serialization import from_json, to_json
from configs.schema import Config

_HOME = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def _text(name):
    with open(os.path.join(_HOME, name), encoding="utf-8") as file:
        return file.read()


_FILES = sorted(name for name in os.listdir(os.path.join(_HOME, "configs")) if name.endswith(".py"))
_RECIPES = [name for name in _FILES if re.search(r"^def get_config\(", _text(f"configs/{name}"), re.M)]


def test_docs_config_md_is_current():
    assert _text("docs/config.md") == document.markdown(), "write it anew: python -m configs.reading.help"


def test_every_field_is_documented():
    assert not [path for path, field in fields.all_fields().items() if not field.doc]


def test_every_number_has_a_range_or_is_free():
    # Judged by a rule of its own: no weight is negative, not all are 0.
    free = {"loss.weights"}
    for path, field in fields.all_fields().items():
        kinds = (field.type, *typing.get_args(field.type))
        if (int in kinds or float in kinds) and path not in free:
            assert field.knob.within is not None, path


def test_what_changes_a_run_only_beside_another_field_names_that_field():
    named = {field.knob.changes_run for field in fields.all_fields().values()} - {True, False}
    assert named and named <= fields.all_fields().keys()


def test_the_defaults_are_valid():
    assert validation.problems(Config()) == []


@pytest.mark.parametrize("name", _RECIPES)
def test_a_shipped_recipe_is_valid_and_survives_as_text(name):
    config, problems = recipes.load(os.path.join("configs", name))

    assert problems == []
    assert validation.problems(config, files=False) == []
    assert from_json(to_json(config)) == config
    assert config.name == name.removesuffix(".py")


def test_the_networks_are_those_of_keras():
    networks = {n for n in dir(keras.applications) if inspect.isfunction(getattr(keras.applications, n))}
    assert set(ENCODERS) == networks


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("lr", "optimizer.learning_rate"),
        ("optimizer.lr", "optimizer.learning_rate"),
        ("learning_rate", "optimizer.learning_rate"),
        ("optimzer.lerning_rate", "optimizer.learning_rate"),
        ("data.batch_size", "train.batch_size"),
        ("train.batch-size", "train.batch_size"),
        ("seeed", "seed"),
        ("augment.crop_size", "augment.crop"),
        ("qwertyuiop", None),
        ("optimizer.qwertyuiop", None),
    ],
)
def test_the_nearest_field(name, near):
    assert nearest(name, fields.all_fields()) == near


def test_every_requirement_is_pinned_on_every_python():
    lines = [line.partition("#")[0].strip() for line in _text("requirements.txt").splitlines()]
    pinned = {}
    for line in filter(None, lines):
        match = re.fullmatch(r'([\w-]+)==[\w.]+( ; python_version (<|>=) "3\.11")?', line)
        assert match, line
        pinned.setdefault(match[1], set()).add(match[3])
    wanted = _text("pyproject.toml").partition("dependencies")[2].partition("]")[0]
    for name in re.findall(r'^  "([\w-]+)', wanted, re.M):
        assert pinned[name] in ({None}, {"<", ">="}), name
