"""A config written as a recipe is read again as it was."""

from __future__ import annotations

import dataclasses

import pytest

from configs.dubai import get_config as dubai
from configs.own import get_config as own
from configs.reading.loading import load
from configs.reading.recipe import recipe_text
from configs.schema import Config, Data, Loss

NAMED = Data(source="folder", path="a b/ü", classes=tuple(f"class '{n}' ß" for n in range(60)), mask_ids=((0, 255),))


@pytest.mark.parametrize(
    "config",
    [
        Config(),
        dubai(),
        own(),
        dataclasses.replace(own(), data=NAMED),
        Config(seed=3, loss=Loss(name="dice", options={"dice": {"over": "batch"}})),
    ],
)
def test_a_recipe_is_read_as_it_was_written(config, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(recipe_text(config), encoding="utf-8")
    read, problems = load(str(path))
    assert not problems and read == config
    assert max(map(len, path.read_text(encoding="utf-8").splitlines())) <= 110
