"""Neighbour-aware calibration: cross-entropy, and a penalty by hand."""

import numpy as np
import pytest
import tensorflow as tf

from losses import cross_entropy, nacl
from tests.losses.inputs import ids_and_logits


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
