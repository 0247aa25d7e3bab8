"""Boundary and Hausdorff losses: maps from the pipeline, values by hand, spacing, replicas, XLA."""

import numpy as np
import pytest
import tensorflow as tf

from losses import boundary, distance_maps, hausdorff
from tests.losses.inputs import ids_and_logits, mask_and_logits, value_and_gradient


def square(size=8, low=2, high=6):
    mask = np.zeros((1, size, size, 1), np.uint8)
    mask[:, low:high, low:high] = 1
    return mask


def test_maps_of_the_pipeline_give_the_same_loss():
    ids, logits = ids_and_logits((2, 6, 5, 3), "float32")
    maps = next(iter(tf.data.Dataset.from_tensors(ids).map(lambda label: distance_maps(label, 3))))
    assert maps.shape == logits.shape and maps.dtype == tf.float32
    for given, computed in zip(
        value_and_gradient(boundary, ids, logits, distance_maps=maps),
        value_and_gradient(boundary, ids, logits),
        strict=True,
    ):
        np.testing.assert_allclose(given, computed, rtol=1e-6, atol=1e-7)
    one_hot = np.eye(3)[ids]
    np.testing.assert_array_equal(distance_maps(one_hot), maps)
    single = distance_maps(tf.constant(ids[1])[tf.newaxis], 3)[0]
    np.testing.assert_array_equal(single, maps[1])


def test_boundary_by_hand():
    mask = square(4, 1, 3)
    # Every pixel inside lies on the border: distance 0. Outside: 12 pixels, 8 at distance 1 and 4 corners at sqrt(2).
    outside = np.where(mask, 0.0, 1.0)
    np.testing.assert_allclose(boundary(mask, outside, activation=None), (8 + 4 * np.sqrt(2)) / 16, rtol=1e-6)
    np.testing.assert_allclose(boundary(mask, 1.0 - outside, activation=None), 0, atol=1e-7)


def test_boundary_prefers_mistakes_near_the_border():
    mask = square()
    near, far = (np.full(mask.shape, -9.0, np.float32) for _ in range(2))
    near[0, 2, 6], far[0, 0, 0] = 9, 9
    assert boundary(mask, near, activation="sigmoid") < boundary(mask, far, activation="sigmoid")


def test_hausdorff_by_hand():
    mask, p = np.zeros((1, 1, 5, 1), np.uint8), np.zeros((1, 1, 5, 1), np.float32)
    mask[0, 0, 0], p[0, 0, 2] = 1, 1.0
    # Fields of the label [1 1 2 3 4] and of the prediction [2 1 1 1 2]; errors at 0 and 2.
    expected = ((1 + 4) + (4 + 1)) / 5
    np.testing.assert_allclose(hausdorff(mask, p, activation=None), expected, rtol=1e-6)
    np.testing.assert_allclose(hausdorff(mask, p, activation=None, log=True), np.log1p(expected), rtol=1e-6)
    np.testing.assert_allclose(hausdorff(mask, p, activation=None, spacing=(1, 3)), 9 * expected, rtol=1e-6)


def test_hausdorff_is_zero_for_a_perfect_prediction_and_grows_with_distance():
    mask = square(12, 1, 4)
    moved = [np.roll(mask, shift, axis=2).astype(np.float32) for shift in (0, 1, 3, 6)]
    values = [float(hausdorff(mask, p, activation=None)) for p in moved]
    assert values[0] == 0 and values == sorted(set(values))


def test_the_logarithm_is_of_all_replicas_mean():
    ids, logits = ids_and_logits((2, 6, 5, 3))
    sums = []
    hausdorff(ids[:1], logits[:1], log=True, all_reduce=lambda x: sums.append(x) or x)
    first = iter(sums)
    both = hausdorff(ids[1:], logits[1:], log=True, all_reduce=lambda x: x + next(first))
    np.testing.assert_allclose(both, hausdorff(ids, logits, log=True), rtol=1e-12)


@pytest.mark.parametrize("loss", [boundary, hausdorff])
def test_under_xla(loss):
    mask, logits = mask_and_logits((2, 9, 8, 1), "float32")

    def both(z):
        return value_and_gradient_tensors(loss, mask, z)

    for found, expected in zip(tf.function(both, jit_compile=True)(logits), both(logits), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def value_and_gradient_tensors(loss, y_true, y_pred):
    with tf.GradientTape() as tape:
        tape.watch(y_pred)
        value = loss(y_true, y_pred, activation="sigmoid")
    return value, tape.gradient(value, y_pred)


def test_what_raises():
    ids, logits = ids_and_logits((2, 6, 5, 3), "float32")
    maps = distance_maps(ids, 3)
    with pytest.raises(ValueError, match="height"):
        boundary(ids, logits, distance_maps=maps[:, :3])
    with pytest.raises(ValueError, match="batch"):
        boundary(ids, logits, distance_maps=maps[:1])
    with pytest.raises(ValueError, match="num_classes=3"):
        boundary(ids, logits, distance_maps=maps[..., 1])
    with pytest.raises(ValueError, match="spacing belongs"):
        boundary(ids, logits, distance_maps=maps, spacing=(1, 2))
    with pytest.raises(ValueError, match="alpha must be at least 0"):
        hausdorff(ids, logits, alpha=-1.0)
    with pytest.raises(TypeError, match="integer ids"):
        distance_maps(ids.astype(np.float32), 3)


def test_maps_of_another_size_at_run_time():
    ids, logits = ids_and_logits((2, 6, 5, 3), "float32")
    maps = distance_maps(ids, 3)
    unknown = tf.function(lambda m: boundary(ids, logits, distance_maps=m), input_signature=[tf.TensorSpec([None] * 4)])
    np.testing.assert_allclose(unknown(maps), boundary(ids, logits), rtol=1e-6)
    with pytest.raises(tf.errors.InvalidArgumentError, match="distance_maps"):
        unknown(maps[:, :1])
