"""Soft skeletons and clDice: lines stay lines, a broken vessel costs more than a thin one, the sum with Dice."""

import numpy as np
import pytest
import tensorflow as tf

from losses import cldice, dice, dice_cldice, soft_skeleton
from tests.losses.inputs import mask_and_logits


def bar(width, length=20, size=24):
    """A horizontal bar of this width."""
    mask = np.zeros((1, size, size, 1), np.float32)
    start = (size - width) // 2
    mask[0, start : start + width, 2 : 2 + length] = 1
    return mask


def test_a_line_is_its_own_skeleton():
    line = bar(1)
    np.testing.assert_array_equal(soft_skeleton(tf.constant(line), 3), line)


def test_a_bar_shrinks_to_its_middle_line():
    skeleton = soft_skeleton(tf.constant(bar(5)), 3).numpy()[0, ..., 0]
    rows = skeleton[:, 6:-6].sum(axis=1)
    assert rows.argmax() == 11 and np.count_nonzero(rows) == 1


def test_what_is_wider_than_the_iterations_leaves_nothing():
    assert not soft_skeleton(tf.constant(bar(9)), 1).numpy()[0, 8:-8, 8:-8].any()


def test_a_volume_and_its_planes():
    """A rod through a volume is a line in each direction."""
    rod = np.zeros((1, 7, 8, 9, 1), np.float32)
    rod[0, 3, 4] = 1
    for axes in ((0, 1, 2, 3, 4), (0, 3, 1, 2, 4), (0, 2, 3, 1, 4)):
        turned = tf.constant(np.transpose(rod, axes))
        np.testing.assert_array_equal(soft_skeleton(turned, 2), turned)


def test_a_cut_costs_more_than_thinness():
    """Dice prefers the wide vessel with a gap, clDice the whole thin one."""
    label = bar(5)
    thin, cut = bar(3), bar(5).copy()
    cut[:, :, 10:13] = 0
    assert dice(label, cut, activation=None) < dice(label, thin, activation=None)
    assert cldice(label, cut, activation=None) > cldice(label, thin, activation=None)


def test_perfect_and_disjoint():
    label = bar(3)
    perfect = float(cldice(label, label, activation=None))
    np.testing.assert_allclose(perfect, 0, atol=1e-4)
    assert 0.9 < float(cldice(label, np.roll(label, 8, axis=1), activation=None)) <= 1


def test_the_sum_with_dice():
    mask, logits = mask_and_logits((2, 8, 7, 1))
    options = {"activation": "sigmoid", "smooth_nr": 1.0, "smooth_dr": 1.0}
    parts = dice(mask, logits, absent="count", **options), cldice(mask, logits, **options)
    np.testing.assert_allclose(
        dice_cldice(mask, logits, alpha=0.3, activation="sigmoid"), 0.7 * parts[0] + 0.3 * parts[1], rtol=1e-12
    )


def test_only_the_classes_that_count_are_thinned():
    mask, logits = mask_and_logits((2, 8, 7, 3))
    chosen = cldice(mask, logits, activation="sigmoid", classes=[1])
    np.testing.assert_allclose(chosen, cldice(mask[..., 1:2], logits[..., 1:2], activation="sigmoid"), rtol=1e-12)


def test_what_raises():
    mask, logits = mask_and_logits((2, 8, 7, 1))
    with pytest.raises(ValueError, match="alpha must be 0 to 1"):
        dice_cldice(mask, logits, activation="sigmoid", alpha=1.5)
    with pytest.raises(ValueError, match="whole number"):
        cldice(mask, logits, activation="sigmoid", iterations=-1)
    with pytest.raises(ValueError, match="two or three axes"):
        soft_skeleton(tf.zeros((1, 5, 1)))
