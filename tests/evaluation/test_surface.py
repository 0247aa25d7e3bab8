"""Surface distances against the package of those who defined the surface Dice, on twenty pairs of shapes."""

import json
import math
import os

import numpy as np
import pytest

from tests.evaluation.surface_shapes import SHAPES
from trainer.evaluation.surface import hausdorff, surface_dice, surface_distances
from trainer.evaluation.volume_scores import measured, united

# Made by surface-distance 0.1 (github.com/google-deepmind/surface-distance, Apache License 2.0): Hausdorff distances of
# 50, 95 and 100 %, surface Dice, both areas, and both sums of distance times area; null is infinite or none.
with open(os.path.join(os.path.dirname(__file__), "surface_goldens.json"), encoding="utf-8") as _file:
    GOLDENS = json.load(_file)


@pytest.mark.parametrize("name", SHAPES)
def test_distances_and_areas_are_the_references(name):
    first, second, spacing, tolerance = SHAPES[name]
    found = surface_distances(first(), second(), spacing)
    values = [hausdorff(found, 50), hausdorff(found), hausdorff(found, 100), surface_dice(found, tolerance)]
    values += [found.first_areas.sum(), found.second_areas.sum()]
    values += [(found.to_second * found.first_areas).sum(), (found.to_first * found.second_areas).sum()]
    for value, golden in zip(values, GOLDENS[name], strict=True):
        if golden is None:
            assert not math.isfinite(value)
        else:
            assert value == pytest.approx(golden, rel=1e-9, abs=1e-9)


def test_empty_masks_count_as_documented():
    none, some = np.zeros((2, 6, 6, 6), bool)
    some[2:4, 2:4, 2:4] = True
    rows = [
        measured(*masks, (1.0, 2.0, 5.0), 1.0) for masks in ((some, some), (some, none), (none, some), (none, none))
    ]
    assert rows[0] == [1.0, 0.0, 1.0, 0.08, 0.08]
    assert rows[1][:3] == rows[2][:3] == [0.0, math.inf, 0.0] and np.isnan(rows[3][:3]).all()
    scores = united({"liver": np.array(rows)})["liver"]
    assert (scores.one_sided, scores.counted, scores.hausdorff_95_mm) == (2, 1, 0.0)
    assert scores.dice == scores.surface_dice == pytest.approx(1 / 3)
    assert scores.volume_ml == scores.label_volume_ml == pytest.approx(0.04)


def test_masks_of_two_shapes_are_refused():
    with pytest.raises(ValueError, match=r"two masks \[depth, height, width\] of one shape"):
        surface_distances(np.zeros((2, 2, 2), bool), np.zeros((2, 2, 3), bool), (1, 1, 1))
