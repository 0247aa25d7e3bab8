"""The rarer losses: what each is at its ends, and how it differs from the loss it comes from."""

import numpy as np
import pytest
import tensorflow as tf

from losses import (
    combo,
    cross_entropy,
    dice,
    exp_log,
    jaccard,
    nacl,
    sensitivity_specificity,
    tanimoto,
)
from tests.losses.inputs import ids_and_logits, mask_and_logits, value_and_gradient

SIGMOID = {"activation": "sigmoid"}


def test_combo_is_cross_entropy_less_dice():
    mask, logits = mask_and_logits((2, 6, 5, 1))
    overlap = 1 - dice(mask, logits, absent="count", **SIGMOID)
    bce = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(mask.astype(np.float64), logits))
    np.testing.assert_allclose(combo(mask, logits, alpha=0.0), -overlap, rtol=1e-12)
    np.testing.assert_allclose(combo(mask, logits, alpha=1.0), 0.5 * bce, rtol=1e-12)
    perfect = 50 * (2.0 * mask - 1)
    np.testing.assert_allclose(combo(mask, perfect, alpha=0.3), -0.7, rtol=1e-6)


def test_combo_weighs_missed_against_invented():
    mask = np.ones((1, 4, 4, 1), np.uint8)
    missed = [float(combo(mask, np.full(mask.shape, -2.0), alpha=1.0, beta=beta)) for beta in (0.2, 0.8)]
    np.testing.assert_allclose(missed[1], 4 * missed[0], rtol=1e-12)


def test_combo_of_softmax_keeps_confident_mistakes_alive():
    ids, _ = ids_and_logits((1, 4, 4, 3), "float32")
    wrong = tf.constant(60 * np.eye(3)[(ids + 1) % 3], tf.float32)
    value, gradient = value_and_gradient(combo, ids, wrong, activation="softmax", alpha=1.0)
    assert np.isfinite(value) and np.abs(gradient).max() > 1e-3


def test_exp_log_with_exponents_of_one():
    ids, logits = ids_and_logits((2, 6, 5, 3))
    cross = exp_log(ids, logits, dice_weight=0.0, cross_entropy_weight=1.0, cross_entropy_exponent=1.0)
    np.testing.assert_allclose(cross, cross_entropy(ids, logits), rtol=1e-12)
    logs = exp_log(ids, logits, dice_weight=1.0, cross_entropy_weight=0.0, dice_exponent=1.0)
    each = 1 - dice(ids, logits, absent="count", reduction="none").numpy()
    np.testing.assert_allclose(logs, np.mean(-np.log(each)), rtol=1e-12)


def test_exp_log_weighs_labels_and_does_not_divide():
    ids, logits = ids_and_logits((2, 6, 5, 3))
    plain, doubled = (
        exp_log(ids, logits, dice_weight=0.0, cross_entropy_weight=1.0, class_weights=w) for w in ([1, 1, 1], [2, 2, 2])
    )
    np.testing.assert_allclose(doubled, 2 * plain, rtol=1e-12)


def test_tanimoto_is_the_squared_jaccard():
    ids, logits = ids_and_logits((2, 6, 5, 3))
    single = tanimoto(ids, logits, dual=False, smooth=0.0)
    expected = jaccard(ids, logits, squared=True, smooth_nr=0.0, smooth_dr=0.0, absent="count")
    np.testing.assert_allclose(single, expected, rtol=1e-12)


def test_dual_tanimoto_does_not_tell_the_classes_apart():
    mask, logits = mask_and_logits((2, 6, 5, 1))
    np.testing.assert_allclose(tanimoto(1 - mask, -logits, **SIGMOID), tanimoto(mask, logits, **SIGMOID), rtol=1e-12)


def test_dual_tanimoto_has_a_gradient_for_an_empty_mask():
    mask, logits = np.zeros((1, 16, 16, 1), np.uint8), tf.zeros((1, 16, 16, 1))
    flat, steep = (
        np.abs(value_and_gradient(tanimoto, mask, logits, dual=dual, **SIGMOID)[1]).sum() for dual in (False, True)
    )
    assert steep > 1000 * flat


def test_sensitivity_and_specificity_by_hand():
    mask = np.array([1, 1, 0, 0]).reshape(1, 1, 4, 1)
    p = np.array([0.5, 1.0, 0.0, 0.2]).reshape(1, 1, 4, 1)
    for weight, expected in ((1.0, 0.25 / 2), (0.0, 0.04 / 2), (0.05, 0.05 * 0.125 + 0.95 * 0.02)):
        value = sensitivity_specificity(mask, p, activation=None, sensitivity_weight=weight, smooth=0.0)
        np.testing.assert_allclose(value, expected, rtol=1e-12)


def test_nacl_without_penalty_is_cross_entropy():
    ids, logits = ids_and_logits((2, 6, 5, 3))
    np.testing.assert_allclose(nacl(ids, logits, alpha=0.0), cross_entropy(ids, logits), rtol=1e-12)


@pytest.mark.parametrize("distance", ["l1", "l2"])
def test_nacl_holds_logits_to_the_labels_around(distance):
    """In the middle of one class the box mean is its one-hot; at the border zeros count."""
    ids = np.ones((1, 5, 5), np.int32)
    ring = np.full((5, 5), 1.0)
    ring[[0, -1]] *= 2 / 3
    ring[:, [0, -1]] *= 2 / 3
    logits = np.random.default_rng(0).standard_normal((1, 5, 5, 2))
    gap = np.stack([np.zeros((5, 5)), ring], -1) - logits[0]
    penalty = np.abs(gap).mean() if distance == "l1" else (gap**2).mean()
    found = nacl(ids, logits, alpha=0.7, distance=distance) - cross_entropy(ids, logits)
    np.testing.assert_allclose(found, 0.7 * penalty, rtol=1e-12)


def test_what_raises():
    ids, logits = ids_and_logits((2, 6, 5, 3), "float32")
    with pytest.raises(ValueError, match="kernel_size must be odd"):
        nacl(ids, logits, kernel_size=4)
    with pytest.raises(ValueError, match="distance must be one of"):
        nacl(ids, logits, distance="L1")
    with pytest.raises(ValueError, match="activation must be one of"):
        nacl(ids, tf.nn.softmax(logits), activation=None)
    for function, options in (
        (combo, {"alpha": 2.0}),
        (exp_log, {"dice_exponent": -1.0}),
        (sensitivity_specificity, {"sensitivity_weight": -0.1}),
    ):
        with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
            function(ids, logits, **options)
