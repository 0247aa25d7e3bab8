"""What is written as files is read again as it was."""

from __future__ import annotations

import numpy as np
import pytest

from tests.data.making import config_for
from tests.data.test_annotations import coco
from tests.data.test_objects import Listed, config_of, pair
from trainer.data import DataError, open_data
from trainer.data.convert import convert


def same(data, again):
    for source, copy in ((data.train, again.train), (data.validation, again.validation)):
        assert len(source) == len(copy)
        found = {example.label.tobytes() + example.image.tobytes() for example in map(copy.load, range(len(copy)))}
        assert {e.label.tobytes() + e.image.tobytes() for e in map(source.load, range(len(source)))} == found


def test_coco_and_objects_become_images_and_masks(tmp_path):
    drawn = open_data(config_for(coco(tmp_path / "coco"), classes=()))
    given = open_data(config_of(), Listed(make=pair))
    deep = open_data(config_of(), Listed(make=lambda n: (pair(n)[0] * 3.5 - 100, pair(n)[1])))
    for name, data in (("drawn", drawn), ("given", given), ("deep", deep)):
        seen = []
        written = convert(data, str(tmp_path / name), progress=lambda *counts, seen=seen: seen.append(counts))
        assert seen[-1] == (written, written) and written == len(data.train) + len(data.validation)
        assert (tmp_path / name / "classes.txt").read_text(encoding="utf-8").split("\n")[:-1] == list(data.classes)
        fields = {"classes": data.classes, "mask_encoding": "ids", "value_range": ((0.0, 255.0),), "channels": 0}
        same(data, open_data(config_for(tmp_path / name, **fields)))


def test_without_class_ids_there_is_nothing_to_write(tmp_path):
    data = open_data(config_of(), np.stack([pair(n)[0] for n in range(4)]))
    with pytest.raises(DataError, match="have no class ids"):
        convert(data, str(tmp_path))
