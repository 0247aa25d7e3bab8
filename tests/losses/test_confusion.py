"""Matthews correlation, and sensitivity and specificity, by hand."""

import numpy as np
import pytest

from losses import mcc, sensitivity_specificity
from tests.losses.inputs import ids_and_logits, mask_and_logits, value_and_gradient


def test_it_is_pearsons_correlation_of_hard_masks():
    rng = np.random.default_rng(0)
    y, p = (rng.integers(0, 2, (1, 9, 8, 1)) for _ in range(2))
    expected = 1 - np.corrcoef(y.ravel(), p.ravel())[0, 1]
    np.testing.assert_allclose(mcc(y, p.astype(np.float64), activation=None, smooth_dr=0.0), expected, rtol=1e-12)


def test_perfect_uninformed_and_opposite():
    mask = np.random.default_rng(0).integers(0, 2, (1, 9, 8, 1)).astype(np.float32)
    for p, expected in ((mask, 0), (np.full_like(mask, 0.3), 1), (1 - mask, 2)):
        np.testing.assert_allclose(mcc(mask, p, activation=None), expected, atol=1e-6)


def test_symmetric_in_the_two_classes_and_in_labels_and_predictions():
    mask, logits = mask_and_logits((2, 9, 8, 1))
    value = mcc(mask, logits, activation="sigmoid")
    np.testing.assert_allclose(mcc(1 - mask, -logits, activation="sigmoid"), value, rtol=1e-12)
    hard = (logits.numpy() > 0).astype(np.float64)
    np.testing.assert_allclose(
        mcc(mask, hard, activation=None), mcc(hard, mask.astype(np.float64), activation=None), rtol=1e-12
    )


def test_masks_without_both_classes():
    """No correlation exists: 1, or 0 where both agree exactly; with a gradient that is not NaN."""
    empty, p = np.zeros((1, 4, 4, 1), np.float32), np.full((1, 4, 4, 1), 0.2, np.float32)
    for mask in (empty, 1 - empty):
        for smooth in (0.0, 1e-5):
            assert mcc(mask, mask, activation=None, smooth_dr=smooth) == 0
            value, gradient = value_and_gradient(mcc, mask, p, activation=None, smooth_dr=smooth)
            np.testing.assert_allclose(value, 1, atol=1e-5)
            assert np.isfinite(gradient).all()


def test_large_volumes_do_not_overflow():
    """The four margins multiply to 1e24 here, and cancel to the correlation."""
    mask = np.zeros((1, 1024, 1024, 1), np.float32)
    mask[:, :512] = 1
    p = np.where(mask, np.float32(0.75), np.float32(0.25))
    # Soft counts are 3/8, 1/8, 1/8, 3/8 of the pixels: (9 - 1) / 16.
    np.testing.assert_allclose(mcc(mask, p, activation=None), 0.5, rtol=1e-6)


def test_sensitivity_and_specificity_by_hand():
    mask = np.array([1, 1, 0, 0]).reshape(1, 1, 4, 1)
    p = np.array([0.5, 1.0, 0.0, 0.2]).reshape(1, 1, 4, 1)
    for weight, expected in ((1.0, 0.25 / 2), (0.0, 0.04 / 2), (0.05, 0.05 * 0.125 + 0.95 * 0.02)):
        value = sensitivity_specificity(mask, p, activation=None, sensitivity_weight=weight, smooth=0.0)
        np.testing.assert_allclose(value, expected, rtol=1e-12)


def test_a_weight_out_of_range_raises():
    with pytest.raises(ValueError, match="sensitivity_weight must be"):
        sensitivity_specificity(*ids_and_logits((2, 6, 5, 3), "float32"), sensitivity_weight=-0.1)
