"""Volumes `[batch, depth, height, width, classes]`: every loss, and what it is there."""

import numpy as np
import pytest
import tensorflow as tf

import losses
from losses.names import LOSSES
from tests.losses.inputs import assert_gradient_is_numeric, ids_and_logits

# Losses that look at a pixel's neighbours, for which a volume is more than its slices side by side.
IN_SPACE = ("boundary", "hausdorff", "cldice", "dice_cldice", "nacl")


def call(name, y_true, y_pred, **options):
    needed = {"distances": 1 - np.eye(y_pred.shape[-1])} if name == "wasserstein_dice" else {}
    return getattr(losses, name)(y_true, y_pred, **needed, **options)


@pytest.mark.parametrize("name", sorted(set(LOSSES) - set(IN_SPACE)))
def test_a_volume_is_its_slices_side_by_side(name):
    ids, logits = ids_and_logits((2, 3, 6, 5, 2))
    flat_ids, flat = ids.reshape(2, 18, 5), tf.reshape(logits, [2, 18, 5, 2])
    np.testing.assert_allclose(call(name, ids, logits), call(name, flat_ids, flat), rtol=1e-12)
    ignoring = call(name, np.where(ids == 1, 255, ids), logits, ignore_id=255)
    np.testing.assert_allclose(ignoring, call(name, np.where(flat_ids == 1, 255, flat_ids), flat, ignore_id=255))


@pytest.mark.parametrize("name", IN_SPACE)
def test_losses_that_see_neighbours_have_exact_gradients_in_a_volume(name):
    ids, logits = ids_and_logits((1, 4, 5, 4, 2))
    assert_gradient_is_numeric(lambda y, z: call(name, y, z), ids, logits)
    # The axes of space are alike.
    turned = call(name, np.transpose(ids, [0, 3, 1, 2]), tf.transpose(logits, [0, 3, 1, 2, 4]))
    np.testing.assert_allclose(turned, call(name, ids, logits), rtol=1e-6)


def test_a_sum_at_several_sizes_of_a_volume():
    ids, logits = ids_and_logits((1, 4, 8, 8, 3))
    small = logits[:, ::2, ::2, ::2]
    value = losses.deep_supervision(ids, [logits, small], loss=losses.build("dice+ce"))
    expected = losses.dice(ids[:, 1::2, 1::2, 1::2], small)
    np.testing.assert_allclose(value.parts["dice"], (losses.dice(ids, logits) + 0.5 * expected) / 1.5)
    with pytest.raises(ValueError, match="depth"):
        losses.dice(ids[:, :2], logits)
