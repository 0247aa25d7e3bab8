"""Tanimoto: what it shares with Jaccard, and what its complement adds."""

import numpy as np
import tensorflow as tf

import losses
from tests.losses.inputs import ids_and_logits, mask_and_logits, value_and_gradient


def test_tanimoto_is_the_squared_jaccard():
    ids, logits = ids_and_logits((2, 6, 5, 3))
    single = losses.tanimoto(ids, logits, dual=False, smooth=0.0)
    expected = losses.jaccard(ids, logits, squared=True, smooth_nr=0.0, smooth_dr=0.0, absent="count")
    np.testing.assert_allclose(single, expected, rtol=1e-12)


def test_dual_tanimoto_does_not_tell_the_classes_apart():
    mask, logits = mask_and_logits((2, 6, 5, 1))
    np.testing.assert_allclose(
        losses.tanimoto(1 - mask, -logits, activation="sigmoid"),
        losses.tanimoto(mask, logits, activation="sigmoid"),
        rtol=1e-12,
    )


def test_dual_tanimoto_has_a_gradient_for_an_empty_mask():
    mask, logits = np.zeros((1, 16, 16, 1), np.uint8), tf.zeros((1, 16, 16, 1))
    flat, steep = (
        np.abs(value_and_gradient(losses.tanimoto, mask, logits, dual=dual, activation="sigmoid")[1]).sum()
        for dual in (False, True)
    )
    assert steep > 1000 * flat
