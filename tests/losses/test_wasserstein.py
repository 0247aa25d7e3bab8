"""Generalised Wasserstein Dice: classes that are alike cost less, and what its matrix must be."""

import numpy as np
import pytest

from losses import wasserstein_dice
from tests.losses.inputs import ids_and_logits

# 1 and 2 are kinds of one organ.
TREE = [[0.0, 1.0, 1.0], [1.0, 0.0, 0.2], [1.0, 0.2, 0.0]]


def test_a_mistake_between_kinds_of_one_organ_costs_less():
    ids = ids_and_logits((1, 6, 5, 3))[0]
    alike, unlike = np.where(ids == 1, 2, ids), np.where(ids == 1, 0, ids)
    costs = [
        float(wasserstein_dice(ids, np.eye(3)[predicted], distances=TREE, activation=None))
        for predicted in (ids, alike, unlike)
    ]
    assert costs[0] < 1e-6 and costs[0] < costs[1] < costs[2]


@pytest.mark.parametrize("weighting", ["default", "gdl"])
def test_only_ratios_of_the_distances_matter(weighting):
    ids, logits = ids_and_logits((2, 6, 5, 3))
    values = [
        float(wasserstein_dice(ids, logits, distances=scale * np.array(TREE), weighting=weighting))
        for scale in (1, 7.5)
    ]
    np.testing.assert_allclose(values[0], values[1], rtol=1e-14)


def test_by_hand():
    ids = np.array([0, 1, 2]).reshape(1, 1, 3)
    p = np.array([[0.5, 0.5, 0], [0, 0.5, 0.5], [0, 0, 1]]).reshape(1, 1, 3, 3)
    # W = 0.5, 0.1, 0; TP = 0.9 + 1 without the background.
    expected = 1 - (2 * 1.9 + 1e-5) / (2 * 1.9 + 0.6 + 1e-5)
    np.testing.assert_allclose(wasserstein_dice(ids, p, distances=TREE, activation=None), expected, rtol=1e-14)


def test_the_background_is_any_class():
    ids, logits = ids_and_logits((2, 6, 5, 3))
    order = np.array([2, 0, 1])
    turned = np.array(TREE)[np.ix_(order, order)]
    moved = wasserstein_dice(np.argsort(order)[ids], logits.numpy()[..., order], distances=turned, background=1)
    np.testing.assert_allclose(moved, wasserstein_dice(ids, logits, distances=TREE), rtol=1e-13)


def test_distances_need_not_be_symmetric():
    """`M[l, c]` is the cost of predicting c where l is true."""
    ids = np.ones((1, 2, 2), np.int32)
    p = np.tile([0.0, 0.0, 1.0], (1, 2, 2, 1))
    cheap, dear = np.array(TREE), np.array(TREE)
    dear[1, 2] = 1.0
    same = np.array(TREE)
    same[2, 1] = 1.0
    costs = [float(wasserstein_dice(ids, p, distances=m, activation=None)) for m in (cheap, same, dear)]
    assert costs[0] == costs[1] < costs[2]


@pytest.mark.parametrize(
    "options, says",
    [
        ({"distances": np.ones((2, 2))}, r"\[3, 3\]"),
        ({"distances": np.ones((3, 3))}, "zero from a class to itself"),
        ({"distances": np.eye(3) - 1}, "not be negative"),
        ({"distances": np.zeros((3, 3))}, "not be all zero"),
        ({"distances": TREE, "weighting": "GDL"}, "weighting must be one of"),
        ({"distances": TREE, "background": 3}, "background must be one of"),
        ({"distances": TREE, "activation": "sigmoid"}, "activation must be one of"),
    ],
)
def test_what_raises(options, says):
    with pytest.raises(ValueError, match=says):
        wasserstein_dice(*ids_and_logits((2, 6, 5, 3), "float32"), **options)
