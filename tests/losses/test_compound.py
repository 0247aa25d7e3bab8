"""Sums of losses: parts, weights, options, one pass over the logits; deep supervision."""

import re

import numpy as np
import pytest
import tensorflow as tf

import losses
from losses.engine import statistics
from tests.losses.inputs import ids_and_logits, mask_and_logits, value_and_gradient


def test_total_is_the_weighted_sum_of_its_parts():
    ids, logits = ids_and_logits()
    loss = losses.build("dice+cross_entropy+focal_softmax", weights=(1, 0.5, 2), options={"dice": {"squared": True}})
    value = loss(ids, logits)
    assert list(value.parts) == ["dice", "cross_entropy", "focal_softmax"]
    np.testing.assert_allclose(value.parts["dice"], losses.dice(ids, logits, squared=True), rtol=1e-12)
    np.testing.assert_allclose(value.parts["cross_entropy"], losses.cross_entropy(ids, logits), rtol=1e-12)
    np.testing.assert_allclose(value.parts["focal_softmax"], losses.focal_softmax(ids, logits), rtol=1e-12)
    dice, cross_entropy, focal = value.parts.values()
    np.testing.assert_allclose(value.total, dice + 0.5 * cross_entropy + 2 * focal, rtol=1e-12)


def test_gradient_of_a_sum_is_the_sum_of_gradients():
    ids, logits = ids_and_logits()
    loss = losses.build("dice+cross_entropy", weights=(3, 2))
    _, gradient = value_and_gradient(lambda y, z: loss(y, z).total, ids, logits)
    parts = [value_and_gradient(f, ids, logits)[1] for f in (losses.dice, losses.cross_entropy)]
    np.testing.assert_allclose(gradient, 3 * parts[0] + 2 * parts[1], atol=1e-14)


def test_terms_share_one_pass_over_the_logits():
    ids, logits = ids_and_logits((2, 8, 8, 4), "float32")

    def operations(name):
        loss = losses.build(name)
        graph = tf.function(lambda z: loss(ids, z).total).get_concrete_function(logits).graph
        return [op.type for op in graph.get_operations()]

    assert operations("dice+cross_entropy").count("Exp") == operations("dice").count("Exp") > 0


def test_options_for_all_terms_and_of_a_batch():
    ids, logits = ids_and_logits()
    ids = np.where(ids == 3, 255, ids)
    mask = np.random.default_rng(0).integers(0, 2, ids.shape)
    loss = losses.build(
        "dice+cross_entropy", options={"*": {"ignore_id": 255, "over": "batch"}, "dice": {"over": "image"}}
    )
    value = loss(ids, logits, mask=mask)
    np.testing.assert_allclose(value.parts["dice"], losses.dice(ids, logits, ignore_id=255, mask=mask))
    expected = losses.cross_entropy(ids, logits, ignore_id=255, mask=mask, over="batch")
    np.testing.assert_allclose(value.parts["cross_entropy"], expected)
    with pytest.raises(TypeError, match="'msk'"):
        loss(ids, logits, msk=mask)


def test_one_term_is_a_sum_too():
    mask, logits = mask_and_logits()
    value = losses.build("dice", options={"*": {"activation": "sigmoid"}})(mask, logits)
    np.testing.assert_allclose(value.total, losses.dice(mask, logits, activation="sigmoid"))


def test_all_mistakes_come_in_one_message():
    with pytest.raises(ValueError) as error:
        losses.build(
            "dice+cross_entropy",
            weights=(1, 2, 3),
            options={"dise": {}, "dice": {"squred": True}, "*": {"ignor_id": 255}},
        )
    for part in ("2 terms and 3 weights", "'dise'", "'squred' (did you mean 'squared'?)", "'ignore_id'"):
        assert part in str(error.value)


def test_an_option_for_all_that_one_cannot_honour_raises():
    with pytest.raises(ValueError, match=re.escape("wasserstein_dice cannot honour 'classes'")):
        losses.build("dice+wasserstein_dice", options={"*": {"classes": [1]}})


def test_deep_supervision_takes_the_nearest_labels():
    ids, logits = ids_and_logits((2, 8, 12, 3))
    small = ids_and_logits((2, 4, 5, 3), seed=1)[1]
    rows, columns = np.arange(4) * 2 + 1, np.floor((np.arange(5) + 0.5) * 12 / 5).astype(int)
    expected = [losses.dice(ids, logits), losses.dice(ids[:, rows][:, :, columns], small)]
    value = losses.deep_supervision(ids, [logits, small], loss=losses.dice)
    np.testing.assert_allclose(value, (expected[0] + 0.5 * expected[1]) / 1.5)
    value = losses.deep_supervision(ids, [logits, small], loss=losses.dice, weights=(1, 0.25))
    np.testing.assert_allclose(value, expected[0] + 0.25 * expected[1])


def test_deep_supervision_of_a_sum_with_maps_and_unknown_sizes():
    ids, logits = ids_and_logits((2, 8, 8, 3))
    small, mask = logits[:, ::2, ::2], np.random.default_rng(0).integers(0, 2, ids.shape)
    loss = losses.build("dice+cross_entropy")
    value = losses.deep_supervision(ids, [logits, small], loss=loss, mask=mask)
    dices = [
        losses.dice(ids, logits, mask=mask),
        losses.dice(ids[:, 1::2, 1::2], small, mask=mask[:, 1::2, 1::2]),
    ]
    np.testing.assert_allclose(value.parts["dice"], (dices[0] + 0.5 * dices[1]) / 1.5)
    sizes = [tf.TensorSpec([None, None, None, 3], tf.float64)] * 2
    dynamic = tf.function(
        lambda y, a, b: losses.deep_supervision(y, [a, b], loss=losses.dice),
        input_signature=[tf.TensorSpec([None, None, None], tf.int32), *sizes],
    )
    expected = losses.deep_supervision(ids, [logits, small], loss=losses.dice)
    np.testing.assert_allclose(dynamic(ids, logits, small), expected)
    with pytest.raises(ValueError, match="2 predictions"):
        losses.deep_supervision(ids, [logits, small], loss=losses.dice, weights=(1,))


def test_deep_supervision_reads_the_middle_of_each_coarse_pixel():
    """A border at the same place at every size: labels of a half and a quarter are shifted by nothing."""
    ids = tf.cast(tf.range(16) >= 8, tf.int32)[tf.newaxis, tf.newaxis] * tf.ones([1, 16, 1], tf.int32)
    taken = []
    losses.deep_supervision(
        ids, [tf.zeros([1, 16 // n, 16 // n, 2]) for n in (1, 2, 4, 8)], loss=lambda y, p: taken.append(y) or 0.0
    )
    for labels in taken:
        size = labels.shape[1]
        nearest = tf.image.resize(ids[..., tf.newaxis], [size, size], method="nearest")[..., 0]
        np.testing.assert_array_equal(labels, nearest)
        assert tf.reduce_mean(tf.cast(labels, tf.float32)) == 0.5


def test_deep_supervision_of_a_function_with_parts_of_its_own():
    ids, logits = ids_and_logits((2, 8, 8, 3))
    small, called = logits[:, ::2, ::2], []

    def loss(y_true, y_pred, *, all_reduce):
        value = losses.dice(y_true, y_pred, over="batch", all_reduce=all_reduce)
        return losses.LossValue(2 * value, {"dice": value})

    value = losses.deep_supervision(ids, [logits, small], loss=loss, all_reduce=lambda s: called.append(s) or s)
    np.testing.assert_allclose(value.total, 2 * value.parts["dice"])
    assert len(called) == 2 * 5
    maps = losses.distance_maps(ids, 3)
    value = losses.deep_supervision(ids, [logits, small], loss=losses.boundary, distance_maps=maps)
    expected = losses.boundary(ids[:, 1::2, 1::2], small, distance_maps=maps[:, 1::2, 1::2])
    np.testing.assert_allclose(value, (losses.boundary(ids, logits, distance_maps=maps) + 0.5 * expected) / 1.5)


def test_deep_supervision_only_takes_labels_down():
    ids, logits = ids_and_logits((2, 6, 5, 3))
    with pytest.raises(ValueError, match=r"y_true has the axes of a prediction swapped.*\n.*height=5.*height=6"):
        losses.deep_supervision(np.swapaxes(ids, 1, 2), [logits], loss=losses.dice)
    with pytest.raises(ValueError, match="y_true has fewer pixels than a prediction"):
        losses.deep_supervision(ids[:, ::2], [logits], loss=losses.dice)
    with pytest.raises(ValueError, match="mask has fewer pixels"):
        losses.deep_supervision(ids, [logits], loss=losses.dice, mask=np.ones((2, 6, 1)))
    with pytest.raises(ValueError, match="y_true must be class ids"):
        losses.deep_supervision(ids[0], [logits], loss=losses.dice)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_terms_in_any_order_share_one_pass(activation, monkeypatch):
    ids, logits = ids_and_logits()
    made = []
    for make in ("fused_sums", "plain_sums"):
        made_by = getattr(statistics, make)
        monkeypatch.setattr(
            statistics, make, lambda *a, made_by=made_by, **k: made.append(k["flags"]) or made_by(*a, **k)
        )
    cross_entropy = {"softmax": "cross_entropy", "sigmoid": "binary_cross_entropy"}[activation]
    options = {"*": {"activation": activation}, "jaccard": {"squared": True}, "tversky": {"soft_label": True}}
    options[cross_entropy] = {"label_smoothing": 0.1}
    for name in (f"dice+{cross_entropy}+jaccard+tversky", f"jaccard+tversky+{cross_entropy}+dice"):
        for fused in (True, False):
            made.clear()
            value = losses.build(name, options=options | {"*": options["*"] | {"fused": fused}})(ids, logits)
            assert len(made) == 1
            for term, part in value.parts.items():
                alone = getattr(losses, term)(ids, logits, activation=activation, **options.get(term, {}))
                np.testing.assert_allclose(part, alone, rtol=1e-12)
