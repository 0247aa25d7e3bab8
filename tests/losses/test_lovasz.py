"""Lovász losses: the discrete Jaccard at the corners, the authors' algorithm elsewhere, ties, ignored pixels, size."""

import numpy as np
import pytest
import tensorflow as tf

from losses import lovasz_hinge, lovasz_softmax
from tests.losses.inputs import ids_and_logits, mask_and_logits, value_and_gradient


def jaccard_loss(ids, predicted, c):
    label, mask = ids == c, predicted == c
    return 1 - (label & mask).sum() / (label | mask).sum()


def test_at_hard_predictions_it_is_the_jaccard_loss():
    """The extension agrees with the set function on the corners of the cube (their property 1)."""
    rng = np.random.default_rng(0)
    ids, predicted = (rng.integers(0, 3, (1, 7, 6)) for _ in range(2))
    values = lovasz_softmax(ids, np.eye(3)[predicted], activation=None, reduction="none")[0]
    np.testing.assert_allclose(values, [jaccard_loss(ids, predicted, c) for c in range(3)], rtol=1e-12)


def test_hinge_by_hand():
    mask = np.array([1, 0, 0]).reshape(1, 1, 3, 1)
    logits = np.array([-1.0, 0.5, -3.0]).reshape(1, 1, 3, 1)
    # Errors 2, 1.5, 0. The miss takes all of Jaccard, so nothing is left for the false positive to take.
    np.testing.assert_allclose(lovasz_hinge(mask, logits), 2.0)
    # Errors 0.5, 1.5, 0: the false positive comes first and makes the union 2, so each of the two costs a half.
    logits[0, 0, 0] = 0.5
    np.testing.assert_allclose(lovasz_hinge(mask, logits), 1.5 / 2 + 0.5 / 2)


def test_bounds_and_perfect():
    ids, logits = ids_and_logits((2, 6, 5, 3))
    assert 0 < lovasz_softmax(ids, logits) < 1
    np.testing.assert_allclose(lovasz_softmax(ids, np.eye(3)[ids], activation=None), 0, atol=1e-12)
    np.testing.assert_allclose(lovasz_softmax(ids, np.eye(3)[(ids + 1) % 3], activation=None), 1, rtol=1e-12)


def test_policies_for_an_absent_class():
    ids = np.minimum(ids_and_logits((1, 6, 5, 4))[0], 2)
    logits = ids_and_logits((1, 6, 5, 4), seed=1)[1]
    each = lovasz_softmax(ids, logits, absent="count", reduction="none").numpy()[0]
    np.testing.assert_allclose(each[3], tf.nn.softmax(logits).numpy()[..., 3].max(), rtol=1e-12)
    np.testing.assert_allclose(lovasz_softmax(ids, logits), each[:3].mean(), rtol=1e-12)
    np.testing.assert_allclose(lovasz_softmax(ids, logits, absent="count"), each.mean(), rtol=1e-12)
    np.testing.assert_allclose(lovasz_softmax(ids, logits, absent="zero"), each[:3].sum() / 4, rtol=1e-12)


def test_the_order_of_pixels_and_classes_does_not_matter():
    ids, logits = ids_and_logits((1, 6, 5, 3))
    order, classes = np.random.default_rng(1).permutation(30), np.array([2, 0, 1])
    shuffled = ids.reshape(1, 30)[:, order].reshape(1, 5, 6)
    moved = logits.numpy().reshape(1, 30, 3)[:, order].reshape(1, 5, 6, 3)
    np.testing.assert_allclose(lovasz_softmax(shuffled, moved), lovasz_softmax(ids, logits), rtol=1e-12)
    renamed = np.argsort(classes)[ids]
    np.testing.assert_allclose(
        lovasz_softmax(renamed, logits.numpy()[..., classes]), lovasz_softmax(ids, logits), rtol=1e-12
    )


def test_ties_have_a_finite_gradient_that_descends():
    ids, _ = ids_and_logits((1, 6, 5, 3))
    logits = tf.zeros((1, 6, 5, 3), tf.float64)
    value, gradient = value_and_gradient(lovasz_softmax, ids, logits)
    assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0
    assert lovasz_softmax(ids, -0.1 * gradient / np.abs(gradient).max()) < value


def test_large_images_keep_their_digits():
    """In float32 the differences of neighbouring Jaccard values would be noise at this size."""
    rng = np.random.default_rng(0)
    mask = (rng.random((1, 512, 512, 1)) < 0.3).astype(np.uint8)
    logits = rng.standard_normal((1, 512, 512, 1)) + mask
    value, gradient = value_and_gradient(lovasz_hinge, mask, tf.constant(logits, tf.float32))
    # The same float32 logits in float64, so that the order of the errors is the same but for near ties.
    exact, exact_gradient = value_and_gradient(lovasz_hinge, mask, tf.constant(logits.astype(np.float32), tf.float64))
    np.testing.assert_allclose(value, exact, rtol=1e-6)
    np.testing.assert_allclose(np.abs(gradient).sum(), np.abs(exact_gradient).sum(), rtol=1e-6)


def test_joint_ranks_all_channels_together():
    mask, logits = mask_and_logits((2, 6, 5, 3))
    joint = lovasz_hinge(mask.reshape(2, 6, 15, 1), tf.reshape(logits, [2, 6, 15, 1]))
    np.testing.assert_allclose(lovasz_hinge(mask, logits, joint=True), joint, rtol=1e-12)
    assert abs(float(lovasz_hinge(mask, logits)) - float(joint)) > 1e-3


def test_what_raises():
    mask, logits = mask_and_logits((2, 6, 5, 3), "float32")
    with pytest.raises(ValueError, match="soft labels"):
        lovasz_hinge(0.5 * mask, logits)
    with pytest.raises(tf.errors.InvalidArgumentError, match="soft labels"):
        tf.function(lambda y: lovasz_softmax(y, logits, activation="sigmoid"))(tf.constant(0.5 * mask))
    for options in ({"activation": "softmax"}, {"from_logits": False}):
        with pytest.raises(ValueError, match="lovasz_softmax"):
            lovasz_hinge(mask, tf.sigmoid(logits) if "from_logits" in options else logits, **options)
    with pytest.raises(ValueError, match="nothing to weigh"):
        lovasz_hinge(mask, logits, joint=True, class_weights=[1, 2, 3])


def test_soft_labels_are_nan_under_xla():
    mask, logits = mask_and_logits((2, 6, 5, 1), "float32")
    compiled = tf.function(lambda y: lovasz_hinge(y, logits), jit_compile=True)
    assert np.isnan(compiled(tf.constant(0.5 * mask, tf.float32)))
    np.testing.assert_allclose(compiled(tf.constant(mask, tf.float32)), lovasz_hinge(mask, logits), rtol=1e-6)
