"""Unified focal loss: its parts by hand, its forms, one channel and several classes."""

import numpy as np
import pytest
import tensorflow as tf

from losses import unified_focal
from tests.losses.inputs import ids_and_logits, mask_and_logits

FORMS = ["symmetric", "asymmetric", "monai"]


@pytest.mark.parametrize("form", FORMS)
def test_one_channel_is_two_classes(form):
    mask, logits = mask_and_logits((2, 6, 5, 1))
    both = tf.concat([tf.zeros_like(logits), logits], axis=-1)
    np.testing.assert_allclose(
        unified_focal(mask, logits, form=form, activation="sigmoid"),
        unified_focal(mask[..., 0], both, form=form),
        rtol=1e-12,
    )


@pytest.mark.parametrize("form", FORMS)
def test_perfect_is_zero_and_wrong_is_large(form):
    mask, _ = mask_and_logits((2, 6, 5, 1), "float32")
    signs = 2 * mask.astype(np.float32) - 1
    values = [float(unified_focal(mask, s * signs, form=form, activation="sigmoid")) for s in (30, 3, 0, -3, -30)]
    assert values[0] < 1e-5 and values == sorted(values) and values[-1] > 1


def test_without_focus_the_forms_agree():
    ids, logits = ids_and_logits((2, 6, 5, 2))
    symmetric = unified_focal(ids, logits, form="symmetric", gamma=0.0)
    np.testing.assert_allclose(unified_focal(ids, logits, gamma=0.0), symmetric, rtol=1e-13)


def test_delta_and_one_half_without_focus_are_cross_entropy_and_dice():
    ids, logits = ids_and_logits((2, 6, 5, 2))
    cross = unified_focal(ids, logits, gamma=0.0, delta=0.5, weight=0.0)
    nll = tf.nn.sparse_softmax_cross_entropy_with_logits(ids, logits)
    np.testing.assert_allclose(cross, 0.5 * tf.reduce_mean(nll), rtol=1e-12)
    overlap = unified_focal(ids, logits, gamma=0.0, delta=0.5, weight=1.0, epsilon=0.0)
    p, y = tf.nn.softmax(logits).numpy(), np.eye(2)[ids]
    dice = 1 - 2 * (p * y).sum((1, 2)) / (p + y).sum((1, 2))
    np.testing.assert_allclose(overlap, dice.mean(), rtol=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_every_class_has_a_gradient(form):
    ids, logits = ids_and_logits((2, 6, 5, 5))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = unified_focal(ids, logits, form=form)
    assert (np.abs(tape.gradient(value, logits)).max(axis=(0, 1, 2)) > 1e-4).all()


def test_a_confident_mistake_keeps_its_gradient():
    """Where clipping at 1e-7 would have none."""
    mask, logits = np.ones((1, 4, 4, 1), np.uint8), tf.fill((1, 4, 4, 1), -40.0)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = unified_focal(mask, logits, activation="sigmoid")
    assert (tape.gradient(value, logits).numpy() < -1e-3).all()


def test_what_raises():
    ids, logits = ids_and_logits((2, 6, 5, 2), "float32")
    for options in ({"form": "asym"}, {"gamma": 2.0}, {"delta": -0.1}, {"weight": 1.5}, {"epsilon": -1.0}):
        with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
            unified_focal(ids, logits, **options)
    with pytest.raises(ValueError, match="activation='softmax'"):
        unified_focal(*mask_and_logits((2, 6, 5, 2), "float32"), activation="sigmoid")
