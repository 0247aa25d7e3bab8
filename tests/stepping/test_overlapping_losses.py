"""Named losses of classes that overlap: a sigmoid of each, void element by element, or a reason why not."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import losses
from configs.schema import Config, Data, Loss
from trainer.errors import UserError
from trainer.stepping.objective import build_objective, loss_of_sigmoids

RANDOM = np.random.default_rng(0)
LABELS = RANDOM.integers(0, 2, (2, 8, 8, 3)).astype("int32")
LOGITS = tf.constant(RANDOM.normal(size=(2, 8, 8, 3)), tf.float32)


def objective_of(name: str, **loss):
    config = Config(data=Data(classes=("a", "b", "c"), labels="multi"), loss=Loss(name=name, **loss))
    return build_objective(loss_of_sigmoids(config)[0], 3)


@pytest.mark.parametrize("name", ["dice", "binary_cross_entropy", "tversky", "focal_sigmoid", "mcc", "lovasz_hinge"])
def test_each_class_by_itself_and_no_void(name):
    labels = LABELS.copy()
    labels[0, 2, 3, 1] = 255
    objective = objective_of(name)
    value = sum(objective(tf.constant(labels), LOGITS).values())
    moved = tf.tensor_scatter_nd_add(LOGITS, [[0, 2, 3, 1]], [50.0])
    np.testing.assert_allclose(sum(objective(tf.constant(labels), moved).values()), value, rtol=1e-6)
    perfect = 24.0 * tf.cast(labels == 1, tf.float32) - 12.0
    assert sum(objective(tf.constant(labels), perfect).values()) < 0.01 < value


def test_losses_for_a_softmax_are_exchanged_with_their_options():
    options = {"ce": {"label_smoothing": 0.1}, "dice": {"squared": True}}
    config = Config(
        data=Data(classes=("a", "b", "c"), labels="multi"),
        loss=Loss(name="dice+ce+focal", options=options, weights=(1.0, 2.0, 3.0)),
    )
    changed, notes = loss_of_sigmoids(config)
    assert changed.loss.name == "dice+binary_cross_entropy+focal_sigmoid" and changed.loss.weights == (1.0, 2.0, 3.0)
    assert changed.loss.options["binary_cross_entropy"] == {"label_smoothing": 0.1}
    assert "binary_cross_entropy in place of cross_entropy" in notes[0]
    got = build_objective(changed, 3)(tf.constant(LABELS), LOGITS)
    plain = losses.binary_cross_entropy(LABELS, LOGITS, label_smoothing=0.1)
    np.testing.assert_allclose(got["binary_cross_entropy"], 2 * plain, rtol=1e-6)


@pytest.mark.parametrize("name", ["top_k_cross_entropy", "generalised_cross_entropy", "unified_focal", "nacl"])
def test_what_is_for_exclusive_classes_alone_says_so(name):
    with pytest.raises(UserError, match=f"config.loss.name='{name}' with 3 logit"):
        objective_of(name)
