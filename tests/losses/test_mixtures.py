"""Combo and exponential logarithmic losses: what each is at its ends."""

import numpy as np
import pytest
import tensorflow as tf

from losses import combo, cross_entropy, dice, exp_log
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


@pytest.mark.parametrize("function, options", [(combo, {"alpha": 2.0}), (exp_log, {"dice_exponent": -1.0})])
def test_options_out_of_range_raise(function, options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
        function(*ids_and_logits((2, 6, 5, 3), "float32"), **options)
